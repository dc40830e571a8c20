from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.core.errors import ConfigError
from stagetree.search import results, study
from stagetree.search.journal import MendingJournal, mend, open_storage


def question(**changes: object) -> study.Fingerprint:
    base = {"space": {}, "directions": ("maximize",), "metrics": ("f1",)}
    return study.Fingerprint(**{**base, **changes})  # type: ignore[arg-type]


def make(directory: Path, name: str, seed: int | None = 1, url: str | None = None) -> optuna.Study:
    directory.mkdir(exist_ok=True)
    made = study.create(name, ["maximize"], open_storage(directory, url))
    study.begin(made, question(), seed)
    return made


def test_a_study_opens_in_plain_optuna_and_tells_its_question(tmp_path: Path) -> None:
    made = make(tmp_path / "s", "s", seed=None)
    again = study.load(tmp_path / "s", "s", None)
    assert study.seed_of(again) == study.seed_of(made)
    assert study.metrics_of(again) == ("f1",)
    assert study.directions_of(again) == ["maximize"]
    assert study.question_of(again) == question().plain()
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "s" / "journal.log")))
    assert optuna.load_study(study_name="s", storage=storage).direction.name == "MAXIMIZE"


def test_a_study_without_a_question_has_not_begun(tmp_path: Path) -> None:
    made = study.create("s", ["minimize"], open_storage(tmp_path, None))
    assert study.question_of(made) is None
    study.begin(made, question(), 5)
    assert study.seed_of(study.create("s", ["minimize"], open_storage(tmp_path, None))) == 5


def test_a_database_works_like_the_journal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    made = make(tmp_path / "s", "s", url=url)
    made.tell(made.ask({"x": FloatDistribution(0, 1)}), 0.5)
    assert len(results.rows(study.load(tmp_path / "s", "s", url))) == 1
    assert len(results.rows(results.open_study("s", tmp_path, url))) == 1


def test_studies_are_found_by_name_or_directory(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make(tmp_path / name, name)
    assert results.list_studies(tmp_path) == ["first", "second"]
    assert results.open_study("first", tmp_path).study_name == "first"
    assert results.open_study(str(tmp_path / "second"), Path("elsewhere")).study_name == "second"
    with pytest.raises(ConfigError, match="Did you mean 'first'"):
        results.open_study("frist", tmp_path)


def test_rows_tell_all_there_is_about_trials(tmp_path: Path) -> None:
    made = make(tmp_path, "s")
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
