"""Experiments made of command lines: they stand alone and run the same stages."""

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline import commandline, experiments
from stagetree.pipeline.compose import compose


@pytest.fixture
def written(in_project):
    """A function that turns the words of a line into an experiment."""

    def make(*words: str):
        with commandline.composer():
            return experiments.from_command(" ".join(["python", "run.py", *words]))

    return make


@pytest.mark.parametrize(
    "words",
    [
        ["stage=distill", "stages.distill.temperature=2.3511760399610937", "numerics=fp32"],
        ["stage=[finetune,distill,quantize]", "seed=7", "data.max_train=100"],
        ["stage=distill", "seeds=[3,1]", "numerics=fp32"],
        ["+sweep=demo", "debug=short", "model=tiny", "stages.distill.learning_rate=1e-3"],
        ["+experiment=sentiment_small", "stages.finetune.epochs=1", "objective=size"],
        ["stages.finetune.unfreeze=[{until:0.5,layers:0},{layers:-1}]", "stage=finetune"],
        ["stage=finetune", "+stages.again.kind=finetune", "+stages.again.learning_rate=0.001"],
    ],
)  # fmt: skip
def test_an_experiment_runs_what_the_line_ran(in_project, written, words) -> None:
    line = compose(in_project(words))
    made = written(*words)
    assert experiments.signatures(made.pipeline) == experiments.signatures(line)
    assert set(made.values).isdisjoint(experiments.NOT_KEPT)


def test_the_file_names_groups_and_writes_values_out(written) -> None:
    made = written("+sweep=demo", "debug=short", "numerics=fp32", "tracker=none", "paths.root=/x")
    assert made.groups == {
        "task": "ner",
        "data": "pii",
        "model": "minilm_l6",
        "stage": ["finetune", "distill", "quantize"],
        "debug": "short",
    }
    text = made.text(["Found somewhere.", ""])
    assert text.startswith("# @package _global_\n# Found somewhere.\n#\ndefaults:\n")
    assert "  - override /stage: [finetune, distill, quantize]\n" in text
    assert made.values["data"] == {"max_train": 800, "max_validation": 300}
    assert made.values["stages"]["distill"]["student"] == {"layers": 4}
    assert made.values["seed"] == 13
    for word in ("sampler", "pruner", "tracker", "hydra", "paths"):
        assert word not in text


def test_numerics_that_the_machine_chose_are_named(written) -> None:
    made = written("stage=finetune", "numerics=auto")
    assert made.values["numerics"] == made.pipeline.numerics != "auto"


@pytest.mark.parametrize(
    "command",
    ["python app.py x=1", "python run.py --config-name other x=1", "python run.py nosuch=1", ""],
)
def test_what_is_no_line_of_this_project_is_refused(in_project, command) -> None:
    with commandline.composer(), pytest.raises(ConfigError):
        experiments.from_command(command)


def test_the_line_of_a_search_is_given_without_what_was_added_to_it() -> None:
    words = [
        "hydra.mode=MULTIRUN", "hydra.sweeper.study_name=s", "hydra.sweeper.study_name='s'",
        "hydra.sweep.dir='/x'", "stage=distill", "paths.root=/x", "a=choice(1,2)",
        "hydra.sweeper.storage=postgresql://me:secret@host/db",
    ]  # fmt: skip
    assert experiments.search_line(words) == (
        "python run.py -m hydra.sweeper.study_name=s stage=distill 'a=choice(1,2)'"
    )


def test_a_sweep_names_its_study_by_itself() -> None:
    named = "hydra.sweeper.study_name='demo'"
    assert experiments.search_line([named, "+sweep=demo"]) == "python run.py -m +sweep=demo"
    assert "study_name" in experiments.search_line([named, "+sweep=other"])
