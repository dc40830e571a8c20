"""What a stage will take, from what others like it took."""

import dataclasses

import pytest

from stagetree.pipeline.compose import compose
from stagetree.pipeline.cost import Cost, Costs, together
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


def test_the_more_there_is_the_surer_an_estimate_gets(pipeline) -> None:
    node = pipeline.nodes[0]
    few = Costs([record(node, pipeline, 10.0)]).of(pipeline, node)
    many = Costs([record(node, pipeline, 10.0)] * 8).of(pipeline, node)
    other = Costs([record(node, pipeline, 10.0, data="other")]).of(pipeline, node)
    assert few is not None
    assert many is not None
    assert other is not None
    assert 0 < many.deviation < few.deviation < other.deviation
    assert few.low < 10.0 < few.high


def test_what_a_run_takes_however_short_it_is_is_learnt(in_project) -> None:
    def at(epochs: float, batch: int = 16) -> tuple[Pipeline, Node]:
        words = [f"stages.finetune.epochs={epochs}", f"stages.finetune.batch_size={batch}"]
        made = compose(in_project([*SHORT, *words]))
        return made, made.nodes[0]

    known = [(at(epochs), 10.0 + epochs) for epochs in (1, 2, 4, 8, 16)]
    costs = Costs([record(node, made, seconds) for (made, node), seconds in known])
    cost, unsure = costs.of(*at(6)), costs.of(*at(6, 64))
    assert cost is not None
    assert unsure is not None
    assert cost.seconds == pytest.approx(16.0, rel=0.15)  # the mean of what epochs say is 27
    assert cost.low < 16.0 < cost.high
    assert unsure.deviation > cost.deviation


def test_errors_of_a_kind_add_up_and_those_of_several_even_out() -> None:
    one = Cost(10.0, 5.0, 0.2)
    assert together([("a", 4, one)]).deviation == pytest.approx(0.2)
    assert together([("a", 2, one), ("b", 2, one)]).deviation == pytest.approx(0.2 / 2**0.5)
    assert together([]) == Cost(0.0, 0.0)
