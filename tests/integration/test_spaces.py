"""Spaces that overrides alone cannot say: keys that exist somewhere only, pairs, functions."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

APP = Path(__file__).parents[1] / "apps" / "branches"


@dataclass
class Search:
    """Runs searches of one study of the app."""

    directory: Path

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, str(APP / "app.py"), "-m", "hydra.sweeper.study_name=s", *words],
            cwd=self.directory,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(APP)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def trials(self, name: str = "s") -> list[FrozenTrial]:
        journal = self.directory / "stagetree_studies" / name / "journal.log"
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.load_study(study_name=name, storage=storage).trials


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def params(trials: list[FrozenTrial]) -> list[dict[str, object]]:
    return [trial.params for trial in trials]


def test_a_key_that_only_some_options_have_is_searched_only_there(search: Search) -> None:
    search.run("method=plain,tuned,deep", "method.rate=1,2", "method.depth=3,4")
    assert params(search.trials()) == [
        {"method": "plain"},
        {"method": "tuned", "method.rate": 1},
        {"method": "tuned", "method.rate": 2},
        {"method": "deep", "method.rate": 1, "method.depth": 3},
        {"method": "deep", "method.rate": 1, "method.depth": 4},
        {"method": "deep", "method.rate": 2, "method.depth": 3},
        {"method": "deep", "method.rate": 2, "method.depth": 4},
    ]
    out = search.run("method=plain,tuned,deep", "method.rate=1,2", "method.depth=3,4")
    assert "7 of 7 trials done" in out


def test_branches_are_sampled_by_every_kind_of_model(search: Search) -> None:
    line = ["method=plain,tuned,deep", "method.rate=interval(0,1)", "x=interval(-1,1)"]
    line += ["method.depth=range(1,9)", "hydra.sweeper.seed=3", "hydra.sweeper.n_trials=14"]
    line += ["hydra.sweeper.sampler._target_=optuna.samplers.TPESampler"]
    line = [word.replace("hydra.sweeper.sampler.", "+hydra.sweeper.sampler.") for word in line]
    more = ["+hydra.sweeper.sampler.multivariate=true", "+hydra.sweeper.sampler.n_startup_trials=4"]
    out = search.run(*line, *more)
    assert "fallback" not in out
    trials = search.trials()
    assert len(trials) == 14
    for trial in trials:
        method = trial.params["method"]
        assert ("method.rate" in trial.params) == (method != "plain")
        assert ("method.depth" in trial.params) == (method == "deep")
    assert {trial.params["method"] for trial in trials} == {"plain", "tuned", "deep"}


def test_a_sweep_can_state_when_a_key_exists(search: Search) -> None:
    space = [
        "size=1,2",
        "+hydra.sweeper.params.x={values: [3, 4], when: {size: 2}}",
    ]
    search.run(*space)
    assert params(search.trials()) == [{"size": 1}, {"size": 2, "x": 3}, {"size": 2, "x": 4}]
    search.run("hydra.sweeper.study_name=fixed", "size=1", space[1], "method=plain,tuned")
    assert params(search.trials("fixed")) == [{"method": "plain"}, {"method": "tuned"}]


def test_zipped_keys_move_together(search: Search) -> None:
    out = search.run("x=1,2,2", "size=10,20,30", "method=plain,tuned", "hydra.sweeper.zip=[x,size]")
    found = [tuple(trial.params.values()) for trial in search.trials()]
    assert found == [
        (1, 10, "plain"), (1, 10, "tuned"), (2, 20, "plain"), (2, 20, "tuned"),
        (2, 30, "plain"), (2, 30, "tuned"),
    ]  # fmt: skip
    assert "best    trial 0" in out


def test_zipped_keys_move_together_under_a_sampler(search: Search) -> None:
    words = ["+hydra.sweeper.sampler._target_=optuna.samplers.TPESampler"]
    words += ["+hydra.sweeper.sampler.n_startup_trials=3", "hydra.sweeper.n_trials=12"]
    words += ["+hydra.sweeper.sampler.multivariate=true", "hydra.sweeper.seed=1"]
    line = ["x=1,2,2", "size=10,20,30", "method=plain,tuned", "hydra.sweeper.zip=[[size,x]]"]
    search.run(*line, *words)
    pairs = {(trial.params["x"], trial.params["size"]) for trial in search.trials()}
    assert pairs == {(1, 10), (2, 20), (2, 30)}


def test_a_function_adds_to_the_space(search: Search) -> None:
    words = ["hydra.sweeper.custom_search_space=app.custom", "hydra.sweeper.seed=1"]
    search.run("size=1,2,3", "x=0.5", "method=plain", *words, "hydra.sweeper.n_trials=8")
    trials = search.trials()
    assert len(trials) == 8
    for trial in trials:
        layers = [name for name in trial.params if name.startswith("+layer")]
        assert len(layers) == trial.params["size"]
        assert trial.value == pytest.approx(
            0.25 + trial.params["size"] + sum(trial.params[name] for name in layers)
        )
    out = search.run("size=1,2,3", "x=0.5", "method=plain", *words, "hydra.sweeper.n_trials=8")
    assert "8 of 8 trials done" in out
    out = search.run("size=1,2,3", "x=0.5", "method=plain", "hydra.sweeper.n_trials=8", code=2)
    assert 'custom: study has "app.custom' in out


def test_what_cannot_be_a_space_is_refused_with_every_fault(search: Search) -> None:
    out = search.run("size=1,2,3", "x=1,2", "hydra.sweeper.zip=[[x,size],[x,rate]]", code=2)
    assert "hydra.sweeper.zip[0]: expected as many values of each but got size 3, x 2" in out
    assert "hydra.sweeper.zip[1]: unknown swept key 'rate'" in out
    out = search.run("size=1,2", "hydra.sweeper.custom_search_space=app.costum", code=2)
    assert "hydra.sweeper.custom_search_space: expected the dotted path" in out
    out = search.run("size=1,2", "hydra.sweeper.custom_search_space=app.broken", code=2)
    assert "app.broken failed: ConfigAttributeError" in out
    out = search.run("size=1,2", "+hydra.sweeper.params.x={values: [3], when: {size: 7}}", code=2)
    assert "hydra.sweeper.params.x.when.size: expected one of choice(1, 2) but got 7" in out
    out = search.run("method=plain,tuned", "method.rtae=1,2", code=2)
    assert "1 fault in the search:\n  method.rtae: " in out
    assert "Did you mean 'method.rate'?" in out
    out = search.run("method=plain,tund,deap", "method.rate=1,2", code=2)
    assert "2 faults in the search" in out
    assert "method: unknown option 'tund'. Did you mean 'tuned'?" in out
    assert not (search.directory / "stagetree_studies").exists()


def test_a_crashed_point_of_a_grid_is_run_again_by_the_next_line(search: Search) -> None:
    line = ["size=1,2,3", "method.rate=1"]
    (search.directory / "log").mkdir()  # the app cannot open it: every run crashes
    out = search.run(*line, "log=log", "hydra.sweeper.max_failures=1.0", code=1)
    assert "3 of 3 trials failed" in out
    (search.directory / "log").rmdir()
    search.run(*line, "log=log")
    assert len((search.directory / "log").read_text().splitlines()) == 3
    assert [trial.params["size"] for trial in search.trials()] == [1, 2, 3, 1, 2, 3]
    out = search.run(*line, "log=log")
    assert "3 of 3 trials done" in out
    assert len(search.trials()) == 6


def test_a_fixed_value_of_a_key_that_only_some_options_have_is_set_there(search: Search) -> None:
    search.run("method=plain,tuned,deep", "method.rate=0.25", "x=2")
    assert [tuple(trial.params.values()) for trial in search.trials()] == [
        ("plain",), ("tuned", 0.25), ("deep", 0.25),
    ]  # fmt: skip
    assert [trial.value for trial in search.trials()] == [5.0, 5.25, 5.25]
