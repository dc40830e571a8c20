"""Which parameters a stage depends on, told by the signatures of composed points."""

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from optuna.samplers import TPESampler

from stagetree.pipeline import commandline
from stagetree.pipeline.compose import outline
from stagetree.search.dependence import find
from stagetree.search.preview import checked
from stagetree.search.samplers import wants_dependence

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


@pytest.fixture
def found(in_project, tmp_path: Path):
    """What is found for a line."""

    def look(*words: str) -> dict[str, set[str]]:
        line = (*SHORT, f"paths.root={tmp_path / 'runs'}", *words)
        with commandline.composer():
            config = commandline.compose_search(line)
            app, reading, _ = checked(config, GlobalHydra.instance().config_loader())
            dependence = find(app, reading.fixed, reading.space, outline)
        return {stage: set(names) for stage, names in dependence.items()}

    return look


def test_a_parameter_matters_to_its_stage_and_to_all_after_it(found) -> None:
    dependence = found(
        "stage=[finetune,prune,distill]",
        "stages.distill.temperature=interval(1,4)",
        "stages.finetune.learning_rate=tag(log,interval(1e-4,1e-2))",
        "stages.prune.heads=0.25,0.5",
        "stages.distill.batch_size=8,16",
    )
    assert list(dependence) == ["finetune", "prune", "distill"]
    assert dependence["finetune"] == {"finetune.learning_rate"}
    assert dependence["prune"] == {"finetune.learning_rate", "prune.heads"}
    assert dependence["distill"] >= {"distill.temperature", "distill.batch_size"}


def test_a_stage_that_reads_another_input_does_not_depend_on_what_lies_between(found) -> None:
    dependence = found(
        "stage=[finetune,prune,distill]",
        "stages.distill.teacher=finetune",
        "stages.distill.input=finetune",
        "stages.prune.heads=0.25,0.5",
        "stages.distill.temperature=2,4",
    )
    assert dependence["distill"] == {"distill.temperature"}


def test_seed_and_data_matter_to_every_stage(found) -> None:
    dependence = found("stage=distill", "seed=1,2", "data.max_train=16,24")
    both = {"seed", "data.max_train"}
    assert dependence == {"finetune": both, "distill": both}


def test_keys_that_exist_in_some_trials_are_found_where_they_do(found) -> None:
    dependence = found(
        "stage=finetune,distill",
        "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.distill.temperature=interval(1,4)",
    )
    assert dependence["finetune"] == {"finetune.learning_rate"}
    assert dependence["distill"] == {"stage", "finetune.learning_rate", "distill.temperature"}


def test_what_moves_together_matters_together(found) -> None:
    dependence = found(
        "stage=distill",
        "stages.finetune.learning_rate=1e-3,3e-3",
        "stages.finetune.batch_size=8,16",
        "stages.distill.temperature=2,4",
        "hydra.sweeper.zip=[[stages.finetune.learning_rate,stages.finetune.batch_size]]",
    )
    assert dependence["finetune"] == {"finetune.learning_rate", "finetune.batch_size"}


def test_what_changes_no_result_matters_to_no_stage(found) -> None:
    dependence = found("stage=finetune", "stages.finetune.reuse=true,false")
    assert dependence == {"finetune": set()}


def test_most_samplers_do_not_want_to_know() -> None:
    target = f"{TPESampler.__module__}.{TPESampler.__qualname__}"
    assert not wants_dependence({"_target_": target})
