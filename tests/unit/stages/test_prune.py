import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.models import format as model_format
from stagetree.models.huggingface import open_model
from stagetree.models.load import load
from stagetree.models.structure import structure_of
from stagetree.stages.base import STAGES, Upstream
from stagetree.stages.distill import Distill, DistillConfig, StudentConfig
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.stages.prune import Prune, PruneConfig
from stagetree.training.pruning import ImportanceMeasure, LayerChoice, PruneMethod

TRAINING = {"learning_rate": 5e-3, "batch_size": 8, "max_length": 32}
BEFORE = [Upstream("finetune", "finetune")]


@pytest.fixture(scope="module")
def tuned(make_context):
    context, _ = make_context("tuned")
    Finetune.run(FinetuneConfig(**TRAINING, epochs=6.0), context)
    return context.output


@pytest.fixture
def pruned(make_context, tuned):
    """Prune the tuned model; returns the context and what it was told."""

    def run(**options):
        context, evaluations = make_context("prune", {"input": tuned})
        Prune.run(PruneConfig(**{**TRAINING, **options}), context)
        return context, evaluations

    return run


def sizes(context):
    return structure_of(open_model(context.output)[0])


def test_half_of_heads_and_units_stay_when_nothing_is_said(pruned, tuned):
    context, evaluations = pruned()
    found = sizes(context)
    assert (sum(found.heads), sum(found.units)) == (2, 64)
    assert evaluations == []
    manifest = model_format.read(context.output)
    assert manifest.form == "pruned"
    assert manifest.parameters < model_format.read(tuned).parameters
    assert manifest.lineage["kept"]["heads"] == list(found.heads)
    assert manifest.lineage["kept"]["ffn"] == list(found.units)
    assert manifest.lineage["kept"]["layers"] == [0, 1]


def test_equal_configs_give_equal_bytes(pruned):
    first, second = (pruned()[0].output / "model.safetensors" for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_half_of_the_units_do_nearly_as_well_and_better_than_fewer(
    pruned, tuned, encode, make_context
):
    context, _ = make_context("score", {"input": tuned})

    def f1(directory):
        from stagetree.training.evaluation import Evaluator
        from stagetree.training.memory import BatchSize

        runner = load(directory)
        rows = encode(context, runner)
        size = BatchSize(64, "eval_batch_size")
        evaluator = Evaluator(context.task, runner.tokenizer, rows, runner.labels, size)
        return evaluator(lambda batch: runner.logits(batch))[0].metrics["f1"]

    half = f1(pruned(ffn=0.5)[0].output)
    assert half >= f1(pruned(ffn=0.125)[0].output)
    assert half > 0.8 * f1(tuned)


def test_layers_alone_leave_a_plain_directory(pruned):
    import transformers

    for options in (
        {"layers": 1.0},
        {"layers": 0.5, "importance": ImportanceMeasure.magnitude},
        {"layers": 1, "layer_choice": LayerChoice.even},
        {"keep_layers": [1]},
    ):
        context, _ = pruned(**options)
        manifest = model_format.read(context.output)
        assert manifest.form == "huggingface"
        assert len(manifest.lineage["kept"]["layers"]) == 1
        transformers.AutoModelForTokenClassification.from_pretrained(context.output)
    assert manifest.lineage["kept"]["layers"] == [1]


@pytest.mark.parametrize("uniform", [True, False])
def test_a_share_of_the_parameters_is_met(pruned, uniform):
    context, _ = pruned(parameters=0.6, uniform=uniform)
    share = model_format.read(context.output).lineage["kept"]["parameters"]
    assert 0.5 < share <= 0.6
    with_layers, _ = pruned(parameters=0.4, layers=1)
    assert 0.25 < model_format.read(with_layers.output).lineage["kept"]["parameters"] <= 0.4


def test_targets_out_of_reach_say_what_can_be_reached(pruned):
    with pytest.raises(ModelError, match=r"stages\.prune\.parameters=0\.01 cannot be met"):
        pruned(parameters=0.01)
    with pytest.raises(ModelError, match=r"stages\.prune\.latency=1e-06 cannot be met"):
        pruned(latency=1e-6)
    with pytest.raises(ModelError, match="at most 2, the layers of its input, but got 3"):
        pruned(layers=3)


def test_what_a_measured_latency_decided_is_not_decided_again(pruned, make_context, tuned):
    context, _ = make_context("prune", {"input": tuned})
    config = PruneConfig(**TRAINING, latency=100.0)
    Prune.run(config, context)  # any structure meets it
    first = sizes(context)
    again = replace(context, output=context.output.parent / "again")
    Prune.run(replace(config, latency=1e-6), again)  # a resume: cannot be met, but is decided
    assert sizes(again) == first


def test_recovery_trains_what_remains(pruned, make_context, tuned):
    context, evaluations = pruned(epochs=3.0, ffn=0.125, heads=0.5, evaluations=2)
    before = load(context.scratch / "pruned")
    assert [fraction for fraction, _ in evaluations] == [0.5, 1.0]
    assert evaluations[-1][1]["f1"] > 0.7
    assert sizes(context) == structure_of(open_model(context.scratch / "pruned")[0])
    manifest = model_format.read(context.output)
    assert (manifest.form, manifest.lineage["stage"]) == ("pruned", "prune")
    batch = {"input_ids": np.array([[2, 8, 9, 3]])}
    assert not np.array_equal(before.logits(batch), load(context.output).logits(batch))


def test_an_interrupted_recovery_ends_with_the_same_bytes(pruned, make_context, tuned):
    options = {**TRAINING, "epochs": 2.0, "evaluations": 2}
    whole, _ = pruned(**options)
    context, _ = make_context("cut", {"input": tuned})

    class Killed(BaseException):
        pass

    def kill(fraction, metrics):
        raise Killed

    with pytest.raises(Killed):
        Prune.run(PruneConfig(**options), replace(context, evaluated=kill))
    torch.manual_seed(99)
    Prune.run(PruneConfig(**options), context)
    files = (place.output / "model.safetensors" for place in (whole, context))
    assert next(files).read_bytes() == next(files).read_bytes()


def test_the_teacher_repairs_the_pruned_model_and_quantize_takes_it(
    pruned, make_context, tuned, tmp_path
):
    from stagetree.stages.quantize import Quantize, QuantizeConfig

    cut, _ = pruned()
    context, evaluations = make_context("distill", {"teacher": tuned, "input": cut.output})
    student = StudentConfig(layers=0)
    Distill.run(DistillConfig(**TRAINING, epochs=4.0, student=student), context)
    assert model_format.read(context.output).form == "pruned"
    assert sizes(context) == sizes(cut)
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.8
    small, _ = make_context("quantize", {"input": context.output})
    Quantize.run(QuantizeConfig(), small)
    batch = {"input_ids": np.array([[2, 8, 9, 17, 3]]), "attention_mask": np.ones((1, 5), int)}
    np.testing.assert_allclose(
        load(small.output).logits(batch), load(context.output).logits(batch), atol=0.5
    )
    shallow, _ = make_context("distill", {"teacher": tuned, "input": cut.output})
    Distill.run(DistillConfig(**TRAINING, epochs=1.0, student=StudentConfig(layers=1)), shallow)
    assert len(sizes(shallow).heads) == 1


def zeros(directory):
    """Return the share of zeros in each matrix of the layers."""
    model, _, _ = open_model(directory)
    return [
        float((weight == 0).float().mean())
        for name, weight in model.named_parameters()
        if ".layer." in name and weight.ndim == 2 and "LayerNorm" not in name
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"method": PruneMethod.magnitude, "sparsity": 0.6, "uniform": True},
        {"method": PruneMethod.n_of_m},
        {"method": PruneMethod.magnitude, "sparsity": 0.6, "uniform": True, "epochs": 2.0},
        {"method": PruneMethod.n_of_m, "epochs": 2.0},
        {"method": PruneMethod.movement, "sparsity": 0.6, "uniform": True, "epochs": 2.0},
    ],
    ids=["magnitude", "2:4", "gradual", "2:4 trained", "movement"],
)
def test_weights_are_zero_in_a_plain_directory(pruned, options):
    import transformers

    context, _ = pruned(**options, mask_every=3, evaluations=4)
    wanted = 0.5 if options["method"] is PruneMethod.n_of_m else 0.6
    assert zeros(context.output) == pytest.approx([wanted] * 12, abs=0.01)
    manifest = model_format.read(context.output)
    assert manifest.form == "huggingface"
    assert manifest.lineage["sparsity"] == pytest.approx(wanted, abs=0.01)
    plain = transformers.AutoModelForTokenClassification.from_pretrained(context.output)
    assert plain.num_parameters() == manifest.parameters


def test_the_least_of_all_matrices_go_together(pruned):
    context, _ = pruned(method=PruneMethod.magnitude, sparsity=0.6)
    found = zeros(context.output)
    assert max(found) - min(found) > 0.02
    weights = [
        weight
        for name, weight in open_model(context.output)[0].named_parameters()
        if ".layer." in name and weight.ndim == 2
    ]
    whole = sum(weight.numel() for weight in weights)
    assert sum(int((weight == 0).sum()) for weight in weights) == round(0.6 * whole)


@pytest.mark.parametrize("method", [PruneMethod.magnitude, PruneMethod.movement])
def test_an_interrupted_masked_training_ends_with_the_same_bytes(make_context, tuned, method):
    options = {**TRAINING, "epochs": 2.0, "evaluations": 4, "method": method, "mask_every": 4}
    whole, _ = make_context("whole", {"input": tuned})
    Prune.run(PruneConfig(**options), whole)
    context, _ = make_context("cut", {"input": tuned})

    class Killed(BaseException):
        pass

    def kill(fraction, metrics):
        if fraction == 0.5:
            raise Killed

    with pytest.raises(Killed):
        Prune.run(PruneConfig(**options), replace(context, evaluated=kill))
    torch.manual_seed(99)
    Prune.run(PruneConfig(**options), context)
    files = (place.output / "model.safetensors" for place in (whole, context))
    assert next(files).read_bytes() == next(files).read_bytes()


def test_other_labels_are_refused(make_context, tuned, corpus_with_other_labels):
    context, _ = make_context("prune", {"input": tuned})
    with pytest.raises(ModelError, match="expected the input of 'prune' to have the labels"):
        Prune.run(PruneConfig(**TRAINING), replace(context, corpus=corpus_with_other_labels))


def test_faults_come_at_once():
    config = PruneConfig(
        heads=0.0,
        parameters=2.0,
        latency=0.5,
        layers=1.5,
        keep_layers=[2, 1],
        ffn_multiple=0,
        importance_batches=0,
        learning_rate=0.0,
    )
    faults = [fault.path for fault in Prune.check(config, BEFORE)]
    expected = {"heads", "parameters", "latency", "layers", "keep_layers", "ffn_multiple"}
    assert expected | {"importance_batches", "learning_rate"} == set(faults)
    assert Prune.check(PruneConfig(), BEFORE) == []
    [clash] = Prune.check(PruneConfig(heads=0.5, parameters=0.5), BEFORE)
    assert "either parameters, which finds the shares" in clash.message
    masked = PruneConfig(method=PruneMethod.movement, layers=1, sparsity=1.0, until=0.0, n=4)
    found = [fault.path for fault in Prune.check(masked, BEFORE)]
    assert found == ["sparsity", "until", "n", "epochs", "layers"]


def test_the_kind_is_registered_and_light():
    assert STAGES["prune"] is Prune
    program = (
        "import sys, stagetree.stages.prune\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_sizes_lie_beside_the_weights(pruned):
    context, _ = pruned()
    stored = json.loads((context.output / "structure.json").read_text())
    assert stored == {"heads": list(sizes(context).heads), "units": list(sizes(context).units)}
