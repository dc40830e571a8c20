"""The ``stagetree`` command: plans that come true, and JSON that says what the tables say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from stagetree.search.journal import FILE, open_storage

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
LINE = ("-m", "stage=distill", "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.distill.temperature=1,2")  # fmt: skip


SAMPLED = ("-m", "stage=distill", "stages.finetune.learning_rate=choice(1e-3,3e-3)",
           "stages.distill.temperature=interval(1,4)")  # fmt: skip
TPE = (*SAMPLED, "sampler=tpe", "sampler.n_startup_trials=3")


def listing(directory: Path) -> dict[str, int]:
    """Return when each file below a directory was last changed."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def plan(command, *words: str) -> dict[str, Any]:
    """Return the plan of a line; it leaves everything as it is."""
    before = listing(command.root)
    found = command.json("plan", *words, *SHORT)
    assert listing(command.root) == before
    return dict(found)


def run(command, *words: str) -> None:
    done = command.run(*words, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr


def ran(command, study: str, first: int = 0) -> dict[str, Any]:
    """Return what the trials of a study from ``first`` on computed and reused."""
    trials = command.json("trials", study)[first:]
    stages = [stage for trial in trials for stage in trial["stages"]]
    executed = [stage for stage in stages if not stage["reused"]]
    kinds = [stage["kind"] for stage in executed]
    return {
        "trials": len(trials),
        "stage_executions": len(executed),
        "reused": len(stages) - len(executed),
        "executions": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    }


def test_a_grid_runs_what_was_planned_and_again_costs_what_was_estimated(command) -> None:
    planned = plan(command, *LINE)
    assert not command.root.exists()
    assert planned["exact"]
    assert (planned["trials"], planned["done"]) == (4, 0)
    assert (planned["stage_executions"], planned["reused"]) == (6, 2)
    assert planned["seconds"] is planned["wall_seconds"] is planned["bytes"] is None
    run(command, *LINE)
    happened = ran(command, planned["study"])
    assert happened == {key: planned[key] for key in happened}
    assert sum(command.kinds().values()) == planned["stage_executions"]
    again = plan(command, *LINE)
    assert (again["trials"], again["done"], again["stage_executions"]) == (0, 4, 0)
    assert again["seconds"] == again["bytes"] == 0
    wider = (*LINE[:3], "stages.distill.temperature=1,2,4,8,16", "hydra.sweeper.n_workers=2")
    planned = plan(command, *wider)
    assert (planned["stage_executions"], planned["executions"]) == (6, {"distill": 6})
    assert planned["wall_seconds"] == pytest.approx(planned["seconds"] / 2, abs=0.1)
    known = {row["signature"] for row in command.json("store", "ls")}
    run(command, *wider)
    new = [row for row in command.json("store", "ls") if row["signature"] not in known]
    assert len(new) == 6
    seconds = sum(row["seconds"] for row in new)
    assert seconds / 3 < planned["seconds"] < seconds * 3
    assert 0 < planned["seconds_low"] < planned["seconds"] < planned["seconds_high"]
    size = sum(file.stat().st_size for row in new for file in Path(row["model_dir"]).iterdir())
    assert planned["bytes"] == pytest.approx(size, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", pytest.param("qmc", marks=pytest.mark.thorough)])
def test_half_a_study_runs_what_was_planned_for_the_rest(command, sampler) -> None:
    line = (*SAMPLED, f"sampler={sampler}")
    whole = plan(command, *line, "hydra.sweeper.n_trials=5")
    assert whole["exact"]
    assert (whole["trials"], whole["executions"]["distill"]) == (5, 5)
    run(command, *line, "hydra.sweeper.n_trials=2")
    rest = plan(command, *line, "hydra.sweeper.n_trials=5")
    assert rest["study"] == whole["study"]
    assert (rest["trials"], rest["done"]) == (3, 2)
    run(command, *line, "hydra.sweeper.n_trials=5")
    for planned, first in ((rest, 2), (whole, 0)):
        happened = ran(command, planned["study"], first)
        assert happened == {key: planned[key] for key in happened}


@pytest.mark.slow
@pytest.mark.thorough
def test_a_model_based_search_is_planned_exactly_first_and_between_bounds_then(command) -> None:
    begun = plan(command, *TPE, "hydra.sweeper.n_trials=3")
    assert begun["exact"]
    run(command, *TPE, "hydra.sweeper.n_trials=3")
    happened = ran(command, begun["study"])
    assert happened == {key: begun[key] for key in happened}
    planned = plan(command, *TPE, "hydra.sweeper.n_trials=5")
    assert (planned["trials"], planned["done"], planned["exact"]) == (2, 3, False)
    run(command, *TPE, "hydra.sweeper.n_trials=5")
    happened = ran(command, planned["study"], 3)
    for key in ("stage_executions", "reused"):
        assert planned["min"][key] <= happened[key] <= planned["max"][key]
    assert planned["max"]["stage_executions"] <= 3  # at most the other teacher, and two students


def test_a_sweep_with_a_pruner_is_planned_as_an_upper_bound(command) -> None:
    planned = plan(command, "-m", "+sweep=demo")
    assert (planned["trials"], planned["exact"], planned["min"]) == (12, False, None)
    assert planned["executions"] == {"finetune": 2, "distill": 12, "quantize": 12}
    assert planned["max"]["stage_executions"] == planned["stage_executions"] == 26


def test_a_plan_reports_every_fault_without_loading_torch(command) -> None:
    words = ["plan", "-m", "stages.finetune.epoch=1,2", "stages.distill.alfa=0.1,0.2",
             "--root", str(command.root)]  # fmt: skip
    code = (
        "import sys\nfrom stagetree.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    sys.exit(99 if 'torch' in sys.modules else end.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=command.environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Did you mean 'stages.finetune.epochs'?" in done.stderr
    assert "Did you mean 'stages.distill.alpha'?" in done.stderr
    assert not command.root.exists()


@pytest.fixture
def copy(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, so that experiments can be added to it."""
    place = tmp_path / "project"
    for folder in ("conf", "sweeps", "experiments"):
        shutil.copytree(project / folder, place / folder)
    shutil.copy(project / "run.py", place)
    monkeypatch.setenv("STAGETREE_PROJECT", str(place))
    return place


@pytest.mark.slow
def test_the_best_trial_becomes_an_experiment_with_the_same_score(
    command, command_at, copy: Path, tmp_path: Path
) -> None:
    run(command, *SAMPLED, "sampler=random", "hydra.sweeper.n_trials=2",
        "hydra.sweeper.study_name=s")  # fmt: skip
    file = copy / "experiments" / "winner.yaml"
    best = command.json("best", "s", "--export", str(file))
    assert best["experiment"] == str(file)
    text = file.read_text(encoding="utf-8")
    assert f"f1 {best['values'][0]!r}" in text
    assert all(stage["signature"] in text for stage in best["stages"])
    assert "sampler=random" in text.partition("defaults:")[0]
    assert str(command.root) not in text
    fresh = command_at(tmp_path / "elsewhere")
    line = fresh.line("+experiment=winner", "tracker=none")
    done = subprocess.run(
        line, cwd=copy, env=fresh.environment(), capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    scores = {row["signature"]: row["metrics"]["f1"] for row in fresh.json("store", "ls")}
    assert scores[best["stages"][-1]["signature"]] == best["values"][0]

    again = command.stagetree("best", "s", "--export", str(file), "--root", str(command.root))
    assert again.returncode == 2
    assert "--force" in again.stderr
    other = 1 - best["number"]
    command.json("best", "s", "--trial", str(other), "--export", str(file), "--force")
    assert f"# Trial {other} of study s" in file.read_text(encoding="utf-8")
    rows = (copy / "experiments" / "README.md").read_text(encoding="utf-8").splitlines()
    assert sum(row.startswith("| [winner](winner.yaml) |") for row in rows) == 1

    stages = copy / "conf" / "stage" / "finetune.yaml"
    stages.write_text(stages.read_text(encoding="utf-8") + "weight_decay: 0.3\n", encoding="utf-8")
    changed = command.stagetree(
        "best", "s", "--export", str(file), "--force", "--root", str(command.root)
    )
    assert changed.returncode == 2
    assert "stages.finetune" in changed.stderr
    assert "stages.distill" in changed.stderr


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--export", "experimets/a.yaml"], 2, "'experiments'"),
        (["--export", "experiments/a.yml"], 2, "NAME.yaml"),
        (["--export", "experiments/ner_small.yaml"], 2, "--force"),
        (["--export", "experiments/a.yaml"], 2, "2 objectives"),
        (["--export", "experiments/a.yaml", "--trial", "7"], 2, "0 to 1"),
        (["--export", "experiments/a.yaml", "--trial", "1"], 2, "failed"),
        (["--export", "experiments/a.yaml", "--trial", "0"], 2, "run.py"),
    ],
)
def test_what_cannot_be_exported_is_said(command, words, code, named, project: Path) -> None:
    place = command.root / "studies" / "two"
    place.mkdir(parents=True)
    (place / FILE).touch()
    study = optuna.create_study(
        study_name="two", storage=open_storage(place, None), directions=["maximize", "minimize"]
    )
    study.tell(study.ask(), [1.0, 2.0])
    study.tell(study.ask(), state=TrialState.FAIL)
    done = command.stagetree("best", "two", *words, "--root", str(command.root))
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "experiments" / "a.yaml").exists()


def test_a_study_without_a_complete_trial_has_no_best(command) -> None:
    place = command.root / "studies" / "none"
    place.mkdir(parents=True)
    (place / FILE).touch()
    optuna.create_study(study_name="none", storage=open_storage(place, None))
    done = command.stagetree("best", "none", "--root", str(command.root))
    assert done.returncode == 1
    assert "no complete trial" in done.stderr


def test_the_shell_completes_names_of_studies(command) -> None:
    for name in ("alpha", "alpine", "beta"):
        (command.root / "studies" / name).mkdir(parents=True)
    words = f"stagetree best --root {command.root} al"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("stagetree"))],
        env=command.environment(
            _STAGETREE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4"
        ),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["alpha", "alpine"], done.stderr


def test_why_names_the_field_that_differs(command) -> None:
    assert command.run("stage=finetune", *SHORT).returncode == 0
    rows = command.json("store", "why", "stage=finetune", *SHORT)
    assert [row["stored"] for row in rows] == [True]
    rows = command.json(
        "store", "why", "stage=finetune", "stages.finetune.learning_rate=1e-5", *SHORT
    )
    assert rows[0]["stored"] is False
    assert any("learning_rate" in difference for difference in rows[0]["differences"])
    shown = command.json(
        "store", "show", rows[0]["signature"][:0] or command.json("store", "ls")[0]["signature"][:8]
    )
    assert shown["kind"] == "finetune"
    assert shown["curve"]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["best", "nosuch"], 2, "nosuch"),
        (["store", "show", "ffff"], 1, "ffff"),
        (["assets", "get", "minilm"], 2, "minilm_l6"),
        (["plan", "stages.finetune.epoch=3"], 2, "epochs"),
        (["nosuch"], 2, "nosuch"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(command, words, code, named) -> None:
    done = (
        command.stagetree(*words, "--root", str(command.root))
        if words != ["nosuch"]
        else command.stagetree(*words)
    )
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
