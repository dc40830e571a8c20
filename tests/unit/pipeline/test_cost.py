"""What a stage will take, from what others like it took."""

import dataclasses

import pytest

from stagetree.pipeline.compose import compose
from stagetree.pipeline.cost import Cost, Costs
from stagetree.pipeline.nodes import Node, Pipeline
from stagetree.pipeline.record import Record, StoredFile

SHORT = ("stage=quantize", "model=tiny", "numerics=fp32")


@pytest.fixture
def pipeline(in_project) -> Pipeline:
    return compose(in_project([*SHORT, "stages.finetune.epochs=2"]))


def record(node: Node, pipeline: Pipeline, seconds: float, **changes: object) -> Record:
    """Return what computing ``node`` left."""
    made = Record(
        signature=node.signature,
        kind=node.stage.kind,
        name=node.name,
        version=1,
        config=node.fields,
        inputs=node.inputs,
        data=pipeline.data_fingerprint,
        model=pipeline.model_revision,
        seed=13,
        seconds=seconds,
        files={"model": StoredFile(int(1000 * seconds), "")},
    )
    return dataclasses.replace(made, **changes)


def test_the_mean_of_results_alike(pipeline) -> None:
    node = pipeline.nodes[0]
    costs = Costs([record(node, pipeline, 10.0), record(node, pipeline, 20.0)])
    assert costs.of(pipeline, node) == Cost(15.0, 15000.0)
    assert costs.of(pipeline, pipeline.nodes[1]) is None
    assert costs.mean([(pipeline, node), (pipeline, pipeline.nodes[1])]) is None
    assert costs.mean([(pipeline, node)] * 2) == Cost(15.0, 15000.0)


def test_same_data_and_model_count_before_other_ones(pipeline) -> None:
    node = pipeline.nodes[1]
    other_model = record(node, pipeline, 5.0, model="other")
    other_data = record(node, pipeline, 70.0, data="other")
    alike = record(node, pipeline, 1.0)
    for records, seconds in (
        ([other_data], 70.0),
        ([other_data, other_model], 5.0),
        ([other_data, other_model, alike], 1.0),
    ):
        cost = Costs(records).of(pipeline, node)
        assert cost is not None
        assert cost.seconds == seconds


def test_training_time_grows_with_the_epochs(in_project, pipeline) -> None:
    longer = compose(in_project([*SHORT, "stages.finetune.epochs=6"]))
    cost = Costs([record(pipeline.nodes[0], pipeline, 10.0)]).of(longer, longer.nodes[0])
    assert cost == Cost(30.0, 10000.0)


def test_training_time_grows_with_the_examples_where_both_are_known(in_project, pipeline) -> None:
    short = compose(in_project([*SHORT, "debug=short"]))  # 6 steps of 16 examples
    limited = compose(in_project([*SHORT, "data.max_train=480", "stages.finetune.epochs=2"]))
    known = Costs([record(short.nodes[0], short, 2.0)])
    cost = known.of(limited, limited.nodes[0])
    assert cost is not None
    assert cost.seconds == 2.0 * 2 * 480 / 96
    whole = known.of(pipeline, pipeline.nodes[0])
    assert whole is not None
    assert whole.seconds == 2.0  # how many rows there are is not known here
