"""Several tasks in one configuration."""

from __future__ import annotations

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline.compose import compose

PICK = ("stage=[finetune,head,quantize]",)
SEVERAL = ("task=multitask", "stage=finetune", "numerics=fp32")


def faults(in_project, *words: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        compose(in_project(list(words)))
    return {fault.path: fault.message for fault in caught.value.faults}


def signature(in_project, *words: str) -> str:
    return compose(in_project([*SEVERAL, *words])).nodes[0].signature


def test_the_task_brings_its_data(in_project) -> None:
    pipeline = compose(in_project([*SEVERAL, "data.max_train=50"]))
    assert list(pipeline.task.parts) == ["pii", "sentiment"]
    assert pipeline.objective.metrics == ("mean",)
    assert {name: part.max_train for name, part in pipeline.data.parts.items()} == {
        "pii": 50,
        "sentiment": 50,
    }


def test_all_faults_come_at_once_with_their_paths(in_project) -> None:
    found = faults(
        in_project,
        *SEVERAL,
        "+task.tasks.pii.wieght=2",
        "+task.tasks.pii.data.max_trian=10",
        "task.tasks.sentiment.data.max_train=0",
        "task.tasks.sentiment.weight=0",
        "+task.tasks.topics={task:{kind:clasification},data:{kind:sentiment}}",
        "+task.tasks.bad-name={task:{kind:ner}}",
        "task.exponent=-1",
        "stages.finetune.epochs=0",
    )
    assert "Did you mean 'weight'?" in found["task.tasks.pii.wieght"]
    assert "Did you mean 'max_train'?" in found["task.tasks.pii.data.max_trian"]
    assert "expected at least 1" in found["task.tasks.sentiment.data.max_train"]
    assert "expected a number above 0 but got 0" in found["task.tasks.sentiment.weight"]
    assert "Did you mean 'classification'?" in found["task.tasks.topics.task.kind"]
    assert "expected a name of letters" in found["task.tasks.bad-name"]
    assert "expected a value but got none" in found["task.tasks.bad-name.data"]
    assert "expected a number of at least 0" in found["task.exponent"]
    assert "stages.finetune.epochs" in found


@pytest.mark.parametrize(
    ("words", "path", "message"),
    [
        (("data=pii",), "data.kind", "say data=multitask"),
        (("task=ner", "data=multitask"), "data.kind", "is the data of task=multitask"),
        (("~task.tasks.pii",), "task.tasks", "expected at least two tasks but got sentiment"),
        (("data.split_seed=3",), "data.split_seed", "set task.tasks.NAME.data.split_seed"),
        (("stage=quantize",), "stages.quantize", "works on a model with one head"),
        (("stage=head",), "stages.head.task", "expected a value but got none"),
        ((*PICK, "stages.head.task=pi"), "stages.head.task", "Did you mean 'pii'?"),
        ((*PICK, "stages.head.task=pii"), "objective.metric", "say objective.metric=f1"),
        (
            ("stage=[finetune,head,distill]", "stages.head.task=pii"),
            "stages.distill.teacher",
            "'finetune' works on several tasks and the input on pii",
        ),
        ((*PICK, "task=ner", "stages.head.task=pii"), "stages.head", "but there is one"),
        (
            ("stage=head", "stages.head.task=pii", "+stages.again={kind:head,task:sentiment}"),
            "stages.again.input",
            "expected a stage for several tasks",
        ),
        (
            ("data@task.tasks.pii.data=sentiment",),
            "task.tasks.pii.data.kind",
            "the task reads tokens with tags",
        ),
        (
            ("+task.tasks.more={task:{kind:multitask},data:{kind:pii}}",),
            "task.tasks.more.task.kind",
            "Known: classification, ner.",
        ),
        (
            ("+task.tasks.more={task:ner,data:{kind:pii}}",),
            "task.tasks.more.task",
            "expected a mapping with a kind but got 'ner'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(in_project, words, path, message) -> None:
    assert message in faults(in_project, *SEVERAL, *words)[path]


@pytest.mark.parametrize(
    "word",
    [
        "task.tasks.pii.weight=2",
        "task.sampling=uniform",
        "task.tasks.pii.data.max_train=50",
        "task.tasks.pii.task.long_texts=truncate",
        "data.max_validation=50",
    ],
)
def test_what_changes_a_result_changes_its_signature(in_project, word) -> None:
    assert signature(in_project, word) != signature(in_project)


@pytest.mark.parametrize("word", ["task.exponent=0.1", "task.tasks.pii.data.max_test=10"])
def test_what_changes_no_result_changes_no_signature(in_project, word) -> None:
    assert signature(in_project, word) == signature(in_project)


def test_stages_after_a_head_work_on_its_task_and_data(in_project) -> None:
    words = [*SEVERAL, *PICK, "stages.head.task=sentiment", "objective.metric=macro_f1"]
    pipeline = compose(in_project(words))
    assert [node.part for node in pipeline.nodes] == [None, "sentiment", "sentiment"]
    concerns = [pipeline.concern(node) for node in pipeline.nodes]
    assert [task.kind for task, _ in concerns] == ["multitask", "classification", "classification"]
    assert [data.kind for _, data in concerns] == ["multitask", "sentiment", "sentiment"]
    assert pipeline.nodes[0].signature == signature(in_project)
