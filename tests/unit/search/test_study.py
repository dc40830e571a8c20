from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.core.errors import ConfigError, StudyMismatchError
from stagetree.search import results, study
from stagetree.search.journal import MendingJournal, mend
from stagetree.search.space import Choice, Parameter, Space


def text(*values: object) -> str:
    from optuna.distributions import CategoricalDistribution

    choices = tuple(Choice(value, str(value)) for value in values)
    parameter = Parameter("x", "x", CategoricalDistribution(list(values)), choices)
    return Space((parameter,)).describe()["x"]


def question(**changes: object) -> study.Fingerprint:
    base = {
        "space": {"x": text(1, 2)},
        "directions": ("maximize",),
        "metric": "f1",
        "config": {"data.name": "pii", "stages.distill.kind": "distill", "stages.distill.t": "2"},
    }
    return study.Fingerprint(**{**base, **changes})  # type: ignore[arg-type]


def test_a_study_opens_in_plain_optuna_and_keeps_its_seed(tmp_path: Path) -> None:
    made = study.open_or_create(tmp_path / "s", "s", question(), None, None)
    again = study.open_or_create(tmp_path / "s", "s", question(), None, 5)
    assert study.seed_of(again) == study.seed_of(made)
    assert study.metric_of(again) == "f1"
    assert study.directions_of(again) == ["maximize"]
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "s" / "journal.log")))
    assert optuna.load_study(study_name="s", storage=storage).direction.name == "MAXIMIZE"


def test_every_difference_to_the_studys_question_is_told(tmp_path: Path) -> None:
    study.open_or_create(tmp_path, "s", question(), None, 1)
    other = question(
        space={"x": text(1, 3), "y": text(1)},
        directions=("minimize",),
        metric="loss",
        config={"data.name": "conll"},
    )
    with pytest.raises(StudyMismatchError) as caught:
        study.open_or_create(tmp_path, "s", other, None, 1)
    assert [str(fault) for fault in caught.value.faults[1:]] == [
        "x: study has choice(1, 2), this line asks choice(1, 3)",
        "y: study has none, this line asks choice(1)",
        "data.name: study has pii, this line asks conll",
        "stages: study has it, this line does not",
        'directions: study has ["maximize"], this line asks ["minimize"]',
        'metric: study has "f1", this line asks "loss"',
    ]


def test_a_database_works_like_the_journal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    made = study.open_or_create(tmp_path / "s", "s", question(), url, 3)
    made.tell(made.ask({"x": FloatDistribution(0, 1)}), 0.5)
    assert len(results.rows(study.load(tmp_path / "s", "s", url))) == 1
    assert len(results.rows(results.open_study("s", tmp_path, url))) == 1


def test_studies_are_found_by_name_or_directory(tmp_path: Path) -> None:
    for name in ("first", "second"):
        study.open_or_create(tmp_path / name, name, question(), None, 1)
    assert results.list_studies(tmp_path) == ["first", "second"]
    assert results.open_study("first", tmp_path).study_name == "first"
    assert results.open_study(str(tmp_path / "second"), Path("elsewhere")).study_name == "second"
    with pytest.raises(ConfigError, match="Did you mean 'first'"):
        results.open_study("frist", tmp_path)


def test_rows_tell_all_there_is_about_trials(tmp_path: Path) -> None:
    made = study.open_or_create(tmp_path, "s", question(), None, 1)
    for value in (0.2, 0.9, 0.9):
        made.tell(made.ask({"x": FloatDistribution(0, 1)}), value)
    bad = made.ask()
    bad.set_user_attr("notes", {"error": "ValueError: no"})
    made.tell(bad, state=optuna.trial.TrialState.FAIL)
    found = results.rows(made)
    assert [row.state for row in found] == ["complete"] * 3 + ["failed"]
    assert found[3].error == "ValueError: no"
    best = results.best(found, "maximize")
    assert best is not None
    assert best.number == 1
    assert results.best(found[3:], "maximize") is None


def test_a_torn_line_is_cut_off_and_kept(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    journal.write_bytes(b'{"a":1}\n{"b":')
    MendingJournal(journal).append_logs([{"c": 3}])
    assert journal.read_bytes() == b'{"a":1}\n{"c":3}\n'
    assert (tmp_path / "j.torn").read_bytes() == b'{"b":\n'
    mend(journal)
    assert journal.read_bytes() == b'{"a":1}\n{"c":3}\n'
