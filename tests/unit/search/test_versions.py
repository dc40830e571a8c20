import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from stagetree.core.errors import StudyMismatchError
from stagetree.search import results, study, versions
from stagetree.search.journal import open_storage
from stagetree.search.notes import is_imported
from stagetree.search.parameter import Choice, Parameter, display_names
from stagetree.search.space import Space

LR = "stages.finetune.learning_rate"
CONFIG = {
    "data.name": "pii",
    LR: "0.0005",
    "stages.finetune.epochs": "3",
    "layers": "[1, 2]",
    "color": '"RED"',  # as an enum is kept
}


def space_of(**axes: BaseDistribution | Sequence[Any]) -> Space:
    keys = [key.replace("__", ".") for key in axes]
    made = []
    for key, name, axis in zip(keys, display_names(keys), axes.values(), strict=True):
        if isinstance(axis, BaseDistribution):
            made.append(Parameter(name, key, axis))
        else:
            choices = tuple(Choice(value, str(value)) for value in axis)
            made.append(Parameter(name, key, CategoricalDistribution(list(axis)), choices))
    return Space(tuple(made))


NARROW = space_of(x=FloatDistribution(0, 1), y=[1, 2])
WIDE = space_of(x=FloatDistribution(0, 2), y=[1, 2])


class Shop:
    """Opens studies in a directory or in a database, as lines with these spaces would."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.directory = directory
        self.url = url

    def open(
        self, space: Space, name: str = "s", config: dict[str, str] | None = None, **other: Any
    ) -> versions.Version:
        searched = {parameter.key for parameter in space.parameters}
        settings = {**CONFIG, **(config or {})}
        question = study.Fingerprint(
            space.describe(),
            other.get("directions", ("maximize",)),
            "f1",
            {key: text for key, text in settings.items() if key not in searched},
        )
        return versions.open_or_create(
            self.directory / name, name, question, space, self.url, other.get("seed", 7)
        )

    def names(self) -> list[str]:
        if self.url:
            storage = open_storage(self.directory, self.url)
            return sorted(optuna.get_all_study_names(storage))
        return results.list_studies(self.directory)


@pytest.fixture(params=["journal", "database"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    url = f"sqlite:///{tmp_path / 'db.sqlite'}" if request.param == "database" else None
    return Shop(tmp_path, url)


@pytest.fixture
def journal(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def run(version: versions.Version, space: Space, *points: dict[str, Any]) -> None:
    """Finish a trial for every point, its value the number of the trial."""
    for number, point in enumerate(points, len(version.study.trials)):
        version.study.add_trial(
            create_trial(
                values=[float(number)],
                params=point,
                distributions={name: space.distributions[name] for name in point},
                user_attrs={"notes": {"seconds": 2.0}, "stagetree:stage:0": ["main", "abc"]},
                intermediate_values={5000: 0.5},
                constraints={"size_mb": -1.0},
            )
        )


def params(version: versions.Version) -> list[dict[str, Any]]:
    return [trial.params for trial in version.study.trials]


def origins(version: versions.Version) -> list[str]:
    return [trial.user_attrs["imported_from"] for trial in version.study.trials]


def test_the_same_question_opens_the_same_study(shop: Shop) -> None:
    made = shop.open(NARROW)
    again = shop.open(NARROW, seed=8)
    assert (made.name, again.name, again.news) == ("s", "s", "")
    assert study.seed_of(again.study) == 7
    assert shop.names() == ["s"]


def test_a_changed_space_is_a_new_version_with_the_old_trials(shop: Shop) -> None:
    old = shop.open(NARROW)
    run(old, NARROW, {"x": 0.5, "y": 1}, {"x": 0.25, "y": 2})
    new = shop.open(WIDE)
    assert (new.name, new.directory.name) == ("s-v2", "s-v2")
    assert new.directory.is_dir()
    assert new.news == (
        "study s-v2: the space changed since s (x: interval(0.0, 1.0) -> interval(0.0, 2.0)); "
        "2 of 2 trials of s imported"
    )
    (one, _), (source, _) = new.study.trials, old.study.trials
    assert one.params == source.params
    assert one.distributions == WIDE.distributions
    assert one.values == source.values
    assert one.intermediate_values == source.intermediate_values
    assert one.constraints == source.constraints
    assert one.user_attrs == {**source.user_attrs, "imported_from": "s#0"}
    assert (one.datetime_start, one.datetime_complete) == (
        source.datetime_start,
        source.datetime_complete,
    )
    assert is_imported(one)
    assert not is_imported(source)
    assert shop.names() == ["s", "s-v2"]
    assert study.seed_of(new.study) == 7


def test_each_line_goes_on_with_its_own_version(shop: Shop) -> None:
    run(shop.open(NARROW), NARROW, {"x": 0.5, "y": 1})
    shop.open(WIDE)
    for space, name in ((NARROW, "s"), (WIDE, "s-v2")):
        for asked in ("s", "s-v2"):
            again = shop.open(space, asked)
            assert (again.name, again.directory.name, again.news) == (name, name, "")
            assert len(again.study.trials) == 1
    assert shop.names() == ["s", "s-v2"]


def test_the_next_version_has_the_trials_of_all_earlier_ones_once(shop: Shop) -> None:
    first = shop.open(WIDE)
    run(first, WIDE, {"x": 1.5, "y": 1}, {"x": 0.5, "y": 1})
    second = shop.open(NARROW, "s")
    assert origins(second) == ["s#1"]
    assert "1 of 2 trials (1 outside of the space) of s imported" in second.news
    run(second, NARROW, {"x": 0.75, "y": 2})
    third = shop.open(space_of(x=FloatDistribution(0, 4), y=[1, 2]), "s-v2")
    assert third.name == "s-v3"
    assert origins(third) == ["s#0", "s#1", "s-v2#1"]
    assert "3 of 3 trials of s and s-v2 imported" in third.news
    assert "since s-v2" in third.news


def old_and_new(
    shop: Shop, before: Space, points: Sequence[dict[str, Any]], after: Space, **config: str
) -> list[dict[str, Any]]:
    run(shop.open(before), before, *points)
    opened = shop.open(after, config=config)
    assert opened.name == "s-v2"
    return params(opened)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (FloatDistribution(0, 1), FloatDistribution(0, 0.5), [0.25, 0.5]),
        (FloatDistribution(0, 1), FloatDistribution(0.01, 1, log=True), [0.25, 0.5, 1.0]),
        (FloatDistribution(0, 1), FloatDistribution(0, 1, step=0.5), [0.5, 1.0]),
        (FloatDistribution(0, 1), IntDistribution(0, 3), [1]),
        (FloatDistribution(0, 1), [0.25, 1, "none"], [0.25, 1]),
        ([0.25, 0.5, 1], [0.5, 1, 2], [0.5, 1]),
        ([0.25, 0.5, 1], FloatDistribution(0.3, 2), [0.5, 1.0]),
    ],
)
def test_trials_are_kept_as_far_as_they_lie_in_the_new_space(
    journal: Shop,
    before: BaseDistribution | list[Any],
    after: BaseDistribution | list[Any],
    kept: list[float],
) -> None:
    points = [{"x": value} for value in (0.25, 0.5, 1)]
    found = old_and_new(journal, space_of(x=before), points, space_of(x=after), x="0.5")
    assert found == [{"x": value} for value in kept]
    assert [type(point["x"]) for point in found] == [type(value) for value in kept]


def test_choices_of_different_types_are_not_confused(journal: Shop) -> None:
    before = space_of(x=["1", "true", "null"])
    points = [{"x": value} for value in ("1", "true", "null")]
    assert old_and_new(journal, before, points, space_of(x=[True, None, "1"]), x="1") == [
        {"x": "1"}
    ]


@pytest.mark.parametrize(
    ("key", "axis", "value"),
    [
        (LR, FloatDistribution(1e-5, 1e-2, log=True), 5e-4),
        (LR, [1e-4, 5e-4], 5e-4),
        ("stages.finetune.epochs", IntDistribution(1, 5), 3),
        ("stages.finetune.epochs", [3.0, 4.0], 3.0),
        ("data.name", ["conll", "pii"], "pii"),
        ("layers", ["[1,2]", "[3]"], "[1,2]"),
        ("color", ["BLUE", "RED"], "RED"),
        (LR, FloatDistribution(1e-3, 1e-2), None),
        ("data.name", ["conll", "wnut"], None),
    ],
)
def test_a_key_that_joins_the_space_has_the_value_it_had(
    journal: Shop, key: str, axis: Any, value: object
) -> None:
    before = space_of(y=[1, 2])
    after = space_of(**{"y": [1, 2], key.replace(".", "__"): axis})
    name = after.parameters[1].name
    found = old_and_new(journal, before, [{"y": 1}], after)
    assert found == ([] if value is None else [{"y": 1, name: value}])


def test_of_a_key_that_leaves_the_space_the_trials_with_its_value_stay(journal: Shop) -> None:
    before = space_of(stages__finetune__learning_rate=FloatDistribution(1e-5, 1e-2), y=[1, 2])
    rates = [5e-4, 1e-3, 5e-4]
    points = [{"finetune.learning_rate": rate, "y": 1 + at % 2} for at, rate in enumerate(rates)]
    run(journal.open(before), before, *points)
    opened = journal.open(space_of(y=[1, 2]))
    assert params(opened) == [{"y": 1}]
    assert "1 of 3 trials (1 outside of the space, 1 the same as another)" in opened.news
    assert "finetune.learning_rate: interval(1e-05, 0.01) -> 0.0005" in opened.news


def test_a_trial_that_did_not_have_a_parameter_is_kept_without_it(journal: Shop) -> None:
    before = space_of(x=[1, 2], y=[1, 2])
    found = old_and_new(journal, before, [{"x": 1}], space_of(x=[1, 2, 3], y=[1, 2]), y="1")
    assert found == [{"x": 1}]


def test_only_what_ran_to_an_end_is_evidence(journal: Shop) -> None:
    opened = journal.open(NARROW)
    for number, state in enumerate((TrialState.FAIL, TrialState.PRUNED, TrialState.PRUNED)):
        trial = opened.study.ask(NARROW.distributions)
        trial.report(0.5, number)
        if number == 2:
            trial.set_user_attr("notes", {"ended": "rejected"})
        opened.study.tell(trial, state=state)
    opened.study.ask(NARROW.distributions)
    opened.study.enqueue_trial({"x": 0.5, "y": 1})
    new = journal.open(WIDE)
    assert origins(new) == ["s#1"]
    assert [trial.state for trial in new.study.trials] == [TrialState.PRUNED]
    assert "1 of 1 trials of s imported" in new.news


def test_of_a_point_that_was_pruned_and_completed_the_complete_trial_counts(journal: Shop) -> None:
    opened = journal.open(NARROW)
    opened.study.enqueue_trial({"x": 0.5, "y": 1})
    opened.study.tell(opened.study.ask(NARROW.distributions), state=TrialState.PRUNED)
    run(opened, NARROW, {"x": 0.5, "y": 1}, {"x": 0.5, "y": 1})
    assert origins(journal.open(WIDE)) == ["s#1"]


def test_a_point_of_two_objectives_keeps_both_values(journal: Shop) -> None:
    directions = ("maximize", "minimize")
    opened = journal.open(NARROW, directions=directions)
    opened.study.tell(opened.study.ask(NARROW.distributions), [1.0, 2.0])
    assert journal.open(WIDE, directions=directions).study.trials[0].values == [1.0, 2.0]


def test_another_question_is_refused_with_the_difference_to_the_newest(shop: Shop) -> None:
    shop.open(NARROW)
    shop.open(WIDE)
    with pytest.raises(StudyMismatchError) as caught:
        shop.open(NARROW, config={"data.name": "conll"}, directions=("minimize",))
    told = [str(fault) for fault in caught.value.faults]
    assert "'s-v2'" in told[0]
    assert "hydra.sweeper.study_name=NAME" in told[0]
    assert told[1:] == [
        "x: study has interval(0.0, 2.0), this line asks interval(0.0, 1.0)",
        "data.name: study has pii, this line asks conll",
        'directions: study has ["maximize"], this line asks ["minimize"]',
    ]
    assert shop.names() == ["s", "s-v2"]


def test_a_study_that_only_has_the_name_of_a_version_is_left_alone(shop: Shop) -> None:
    other = shop.open(space_of(x=FloatDistribution(0, 3), y=[1, 2]), "s-v2")
    run(other, WIDE, {"x": 0.5, "y": 1})
    shop.open(NARROW)
    new = shop.open(WIDE)
    assert (new.name, len(new.study.trials)) == ("s-v3", 0)
    assert [len(trials) for trials in (other.study.trials, new.study.trials)] == [1, 0]


def test_a_study_of_plain_optuna_is_adopted_unless_its_directions_differ(shop: Shop) -> None:
    (shop.directory / "s").mkdir()
    plain = study.create("s", ["maximize"], open_storage(shop.directory / "s", shop.url))
    plain.tell(plain.ask(NARROW.distributions), 1.0)
    with pytest.raises(StudyMismatchError, match="exists with"):
        shop.open(NARROW, directions=("minimize",))
    assert len(shop.open(NARROW).study.trials) == 1


@pytest.mark.parametrize("left", ["journal", "study", "marked", "some trials"])
def test_what_a_process_that_died_left_of_a_version_is_made_anew(shop: Shop, left: str) -> None:
    old = shop.open(NARROW)
    run(old, NARROW, {"x": 0.5, "y": 1}, {"x": 0.25, "y": 2})
    (shop.directory / "s-v2").mkdir()
    storage = open_storage(shop.directory / "s-v2", shop.url)
    if left != "journal":
        half = study.create("s-v2", ["maximize"], storage)
        if left != "study":
            half.set_user_attr("stagetree:version_of", "s")
        if left == "some trials":
            half.add_trial(old.study.trials[0])
    for _ in range(2):
        new = shop.open(WIDE)
        assert new.name == "s-v2"
        assert origins(new) == ["s#0", "s#1"]
    assert shop.names() == ["s", "s-v2"]


def opener(shop: Shop) -> subprocess.Popen[str]:
    """Return a process that waits for ``start`` and then opens the line with the wide space."""
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_versions import Shop, WIDE
        from pathlib import Path
        print("ready", flush=True)
        sys.stdin.readline()
        opened = Shop(Path({str(shop.directory)!r}), {shop.url!r}).open(WIDE)
        print(opened.name, len(opened.study.trials), bool(opened.news))
    """)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def start(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_two_processes_make_one_version(shop: Shop) -> None:
    points = [{"x": number / 100, "y": 1} for number in range(20)]
    run(shop.open(NARROW), NARROW, *points)
    with opener(shop) as one, opener(shop) as other:
        start(one, other)
        told = sorted(process.communicate(timeout=120)[0].strip() for process in (one, other))
    assert told == ["s-v2 20 False", "s-v2 20 True"]
    assert shop.names() == ["s", "s-v2"]


@pytest.mark.faults
def test_a_process_killed_while_it_imports_leaves_a_version_that_is_made_whole(
    journal: Shop,
) -> None:
    points = [{"x": number / 1000, "y": 1} for number in range(200)]
    run(journal.open(NARROW), NARROW, *points)
    with opener(journal) as process:
        start(process)
        file = journal.directory / "s-v2" / "journal.log"
        end = time.monotonic() + 240
        while not file.is_file() or file.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < end, "nothing was imported"
        process.kill()
        process.wait()
    half = study.load(file.parent, "s-v2", None)
    assert study.question_of(half) is None
    assert 0 < len(half.trials) < 200
    new = journal.open(WIDE)
    assert (new.name, len(new.study.trials)) == ("s-v2", 200)
    assert "200 of 200" in new.news
