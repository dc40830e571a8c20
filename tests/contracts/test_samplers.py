"""What every sampler in ``conf/sampler`` promises."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stagetree.search.condition import Condition
from stagetree.search.notes import NOTES
from stagetree.search.parameter import Choice, Parameter
from stagetree.search.places import Places
from stagetree.search.samplers import GRID, Samplers, choose
from stagetree.search.space import Space, Zip

FILES = sorted((Path(__file__).parents[2] / "conf" / "sampler").glob("*.yaml"))
NUMBERS = (Choice(1, "1"), Choice(2, "2"), Choice(3, "3"))
TRIALS = 14
FIRST = frozenset({"size", "kind", "one", "other"})
STAGES = {"first": FIRST, "second": FIRST | {"flag", "rate", "width", "depth"}}
"""Which parameters two stages depend on, for samplers that want to know."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def choices(name: str, values: list[Any], condition: Condition | None = None) -> Parameter:
    listed = tuple(Choice(value, str(value)) for value in values)
    return Parameter(name, name, CategoricalDistribution(values), listed, condition)


def flat(*, discrete: bool) -> Space:
    parameters = [
        Parameter("size", "size", IntDistribution(1, 3), NUMBERS),
        choices("kind", ["a", "b", "c"]),
        choices("flag", [True, False]),
    ]
    if not discrete:
        parameters.append(Parameter("rate", "rate", FloatDistribution(1e-5, 1e-1, log=True)))
        parameters.append(Parameter("width", "width", IntDistribution(1, 64)))
    return Space(tuple(parameters))


def branching(*, discrete: bool) -> Space:
    somewhere = Condition(("kind",), (("a",), ("b",)))
    one, other = choices("one", [1, 2]), choices("other", [10, 20])
    depth = Parameter("depth", "depth", IntDistribution(1, 3), NUMBERS, somewhere)
    rate = Parameter("rate", "rate", FloatDistribution(0, 1), condition=somewhere)
    parameters = [choices("kind", ["a", "b", "c"]), depth, one, other]
    if not discrete:
        parameters.append(rate)
    return Space(tuple(parameters), zips=(Zip(("one", "other"), ((1, 10), (2, 20))),))


def note(trial: optuna.Trial, params: Mapping[str, Any]) -> None:
    """Note the trial's stages as a run would: a first one that is dear, and a cheap one."""
    rows = [
        {"name": stage, "signature": repr([params.get(one) for one in sorted(names)]), "seconds": s}
        for (stage, names), s in zip(STAGES.items(), (9.0, 1.0), strict=True)
    ]
    trial.set_user_attr(NOTES, {"stages": rows})


def search(
    directory: Path, node: Mapping[str, Any], space: Space, stops: list[int]
) -> list[dict[str, Any]]:
    """Run trials up to each stop, with everything reopened in between; return their points."""
    directory.mkdir()
    for total in stops:
        storage = JournalStorage(JournalFileBackend(str(directory / "journal")))
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        samplers = Samplers(node, space, seed=5, dependence=STAGES)
        places = Places(study, directory, total, space, samplers, copies=False)
        while claim := places.claim():
            note(claim.trial, claim.params)
            value = sum(float(v) for v in claim.params.values() if isinstance(v, int | float))
            study.tell(claim.trial, value)
            claim.lease.release()
    return [trial.params for trial in study.trials]


def configured(file: Path, space: Space) -> dict[str, Any]:
    node: Any = OmegaConf.to_container(OmegaConf.load(file))
    if "n_startup_trials" in node:
        node["n_startup_trials"] = min(4, node["n_startup_trials"])
    if "population_size" in node:
        node["population_size"] = 4
    return choose(node, space)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("make", [flat, branching], ids=["flat", "branching"])
def test_trials_after_a_restart_are_those_of_one_go(file: Path, make: Any, tmp_path: Path) -> None:
    space = make(discrete=file.stem == "grid")
    node = configured(file, space)
    total = min(TRIALS, space.size) if node["_target_"] == GRID else TRIALS
    parted = search(tmp_path / "parted", node, space, [total // 2, total])
    assert parted == search(tmp_path / "whole", node, space, [total])
    assert len(parted) == total
    assert len({repr(params) for params in parted}) > 4
    for params in parted:
        assert space.whole(params)
        assert all(zipped.matching(params) for zipped in space.zips)
