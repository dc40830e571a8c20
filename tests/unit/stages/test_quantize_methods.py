"""What every method of ``quantize`` promises, on a tiny fine-tuned model."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import METHODS, runnable
from stagetree.stages.base import Upstream
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.stages.quantize import AwareConfig, Quantize, QuantizeConfig, QuantizeMethod

CALIBRATED = [name for name in runnable() if METHODS[name].calibrated]


@pytest.fixture(scope="module")
def tuned(make_context):
    """Return the directory of a model that has learnt its task, and the context it did it in."""
    context, _ = make_context("finetune")
    config = FinetuneConfig(learning_rate=3e-3, epochs=10.0, evaluations=1, max_length=32)
    Finetune.run(config, context)
    return context.output


@pytest.fixture(scope="module", params=runnable())
def result(request, make_context, tuned):
    """Return a method's name and the context of its result."""
    context, _ = make_context("quantize", {"input": tuned})
    Quantize.run(_config(request.param), context)
    return request.param, context


def _config(name, **options):
    training = AwareConfig(learning_rate=1e-3, batch_size=8, max_length=32)
    return QuantizeConfig(method=QuantizeMethod[name], training=training, **options)


def _batch():
    ids = np.array([[2, *range(10, 40), 3], [2, *range(20, 35), 3, *[0] * 15]])
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(int)}


def test_every_method_is_a_choice_of_the_config():
    assert [method.name for method in QuantizeMethod] == [
        METHODS[method.name].name for method in QuantizeMethod
    ]
    assert {method.name for method in QuantizeMethod} == set(METHODS)


def test_the_result_answers_as_the_model_does_and_is_smaller(result, tuned):
    from stagetree.models.load import load

    name, context = result
    small, large = load(context.output), load(tuned)
    batch = _batch()
    found, expected = small.logits(batch), large.logits(batch)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    real = batch["attention_mask"].astype(bool)
    assert np.mean(found.argmax(-1)[real] == expected.argmax(-1)[real]) > 0.9
    assert not np.array_equal(found, expected)
    assert small.form == METHODS[name].form
    assert small.numerics == METHODS[name].numerics
    assert small.parameters == large.parameters
    assert small.manifest.lineage["method"] == name
    assert METHODS[name].trained or list(context.scratch.iterdir()) == []


def test_the_result_gives_the_same_bits_in_a_new_process(result):
    from stagetree.models.load import load

    _, context = result
    expected = load(context.output, threads=1).logits(_batch())
    program = (
        "import sys, numpy as np, torch; torch.set_num_threads(1)\n"
        "from stagetree.models.load import load\n"
        "ids = np.array(eval(sys.argv[2])); mask = (ids > 0).astype(int)\n"
        "batch = {'input_ids': ids, 'attention_mask': mask}\n"
        "print(load(sys.argv[1], threads=1).logits(batch).tobytes().hex())"
    )
    ids = repr(_batch()["input_ids"].tolist())
    done = subprocess.run(
        [sys.executable, "-c", program, context.output, ids],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected.tobytes().hex()
    assert done.stderr == ""


def test_equal_runs_give_equal_answers(result, make_context, tuned):
    from stagetree.models.load import load

    name, context = result
    again, _ = make_context("quantize", {"input": tuned})
    Quantize.run(_config(name), again)
    first, second = (load(place.output, threads=1) for place in (context, again))
    np.testing.assert_array_equal(first.logits(_batch()), second.logits(_batch()))


def test_its_threads_can_be_limited(result):
    from stagetree.models.load import load

    runner = load(result[1].output, threads=2)
    with runner.limited(1):
        limited = runner.logits(_batch())
    np.testing.assert_allclose(limited, runner.logits(_batch()), atol=1e-4)


def test_nothing_is_printed(result, make_context, tuned, capfd):
    context, _ = make_context("quantize", {"input": tuned})
    Quantize.run(_config(result[0]), context)
    assert capfd.readouterr() == ("", "")


def test_the_result_cannot_be_quantised_again(result, make_context):
    context, _ = make_context("quantize", {"input": result[1].output})
    with pytest.raises(ModelError, match="cannot be trained further"):
        Quantize.run(QuantizeConfig(), context)


def test_embedding_tables_are_small_only_when_asked(result, make_context, tuned):
    name, context = result
    plain, _ = make_context("quantize", {"input": tuned})
    Quantize.run(_config(name, embeddings=False), plain)
    # 65 words and 64 places of 32 dimensions: a byte each instead of four.
    assert _weights(plain.output) - _weights(context.output) > 0.6 * 3 * (65 + 64) * 32


def _weights(directory):
    parts = {".onnx", ".bin", ".safetensors", ".pt"}
    return sum(path.stat().st_size for path in directory.iterdir() if path.suffix in parts)


@pytest.mark.parametrize("name", CALIBRATED)
def test_too_few_rows_to_calibrate_with_are_refused_with_their_number(name, make_context, tuned):
    context, _ = make_context("quantize", {"input": tuned})
    corpus = dataclasses.replace(
        context.corpus, train=context.corpus.train.select(range(7)), fingerprint="seven"
    )
    few = dataclasses.replace(context, corpus=corpus)
    with pytest.raises(ModelError, match="at least 16 training rows to calibrate with but got 7"):
        Quantize.run(_config(name), few)


def test_too_small_a_calibration_is_a_fault():
    (fault,) = Quantize.check(_config("onnx_static", calibration_examples=8), [])
    assert fault.path == "calibration_examples"
    assert "at least 16 rows but got 8" in fault.message


def test_a_method_that_cannot_run_here_is_a_fault_that_names_those_that_can(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (fault,) = Quantize.check(_config("openvino_int8"), [])
    assert fault.path == "method"
    assert "pip install 'stagetree[openvino]'" in fault.message
    assert "onnx_static" in fault.message


def test_a_method_for_gpus_is_a_fault_where_there_is_none(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("stagetree.models.quantization.base._NVIDIA", ("/no/such/device",))
    (fault,) = Quantize.check(_config("torchao_int4"), [])
    assert fault.path == "method"
    assert "needs an NVIDIA GPU" in fault.message
    assert "onnx_int8" in fault.message
    monkeypatch.setattr("stagetree.models.quantization.base._NVIDIA", ("/dev/null",))
    assert Quantize.check(_config("torchao_int4"), []) == []


@pytest.mark.parametrize(("form", "extra"), [("openvino", "openvino"), ("torchao", "torchao")])
def test_a_form_whose_runtime_is_not_here_says_what_to_install(form, extra, tuned, monkeypatch):
    from stagetree.models import format as model_format
    from stagetree.models.runner import FORMS

    manifest = dataclasses.replace(model_format.read(tuned), form=form)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=rf"pip install 'stagetree\[{extra}\]'"):
        FORMS[form].open(tuned, manifest, threads=1)


def test_all_faults_of_the_training_are_told_at_once():
    training = AwareConfig(epochs=0.0, temperature=0.0, alpha=2.0)
    config = QuantizeConfig(method=QuantizeMethod.qat, training=training, teacher="fintune")
    faults = Quantize.check(config, [Upstream("finetune", "finetune")])
    assert {fault.path for fault in faults} == {
        "teacher", "training.epochs", "training.temperature", "training.alpha",
    }  # fmt: skip
    assert "Did you mean 'finetune'" in next(f.message for f in faults if f.path == "teacher")


def test_only_training_methods_have_a_teacher():
    before = [Upstream("finetune", "finetune"), Upstream("distill", "distill")]
    taught = Quantize.roles(_config("qat", teacher="finetune"), before)
    assert list(taught.items()) == [("teacher", "finetune"), ("input", "distill")]
    assert Quantize.roles(_config("onnx_int8", teacher="finetune"), before) == {"input": "distill"}
    assert Quantize.roles(_config("qat"), before) == {"input": "distill"}


def test_training_for_int8_learns_on_and_tells_of_it(make_context, barely_tuned):
    from stagetree.models.load import load

    context, told = make_context("quantize", {"input": barely_tuned, "teacher": barely_tuned})
    config = _config("qat")
    config.training.epochs, config.training.learning_rate = 6.0, 5e-3
    Quantize.run(config, context)
    assert [fraction for fraction, _ in told] == [0.475, 0.95]
    assert told[-1][1]["loss"] < 0.7 * _loss(context, load(barely_tuned))
    assert _loss(context, load(context.output)) == pytest.approx(told[-1][1]["loss"], rel=0.05)


def test_interrupted_training_for_int8_ends_with_the_same_bits(make_context, barely_tuned):
    from stagetree.models.load import load

    def fail(fraction, metrics):
        raise KeyboardInterrupt

    inputs = {"input": barely_tuned}
    whole, _ = make_context("quantize", inputs)
    Quantize.run(_config("qat"), whole)
    halved, _ = make_context("quantize", inputs)
    with pytest.raises(KeyboardInterrupt):
        Quantize.run(_config("qat"), dataclasses.replace(halved, evaluated=fail))
    Quantize.run(_config("qat"), halved)
    first, second = (load(place.output, threads=1) for place in (whole, halved))
    np.testing.assert_array_equal(first.logits(_batch()), second.logits(_batch()))


@pytest.fixture(scope="module")
def barely_tuned(make_context):
    context, _ = make_context("finetune")
    Finetune.run(FinetuneConfig(learning_rate=1e-3, max_steps=4, max_length=32), context)
    return context.output


def _loss(context, runner):
    from stagetree.training.encoded import encoded
    from stagetree.training.evaluation import Evaluator
    from stagetree.training.memory import BatchSize

    rows = encoded(
        context.corpus, "validation", context.task, runner.tokenizer, runner.labels, 32,
        context.cache,
    )  # fmt: skip
    return Evaluator(context.task, runner.tokenizer, rows, runner.labels, BatchSize(16, ""))(
        runner.logits
    )[1]


def test_the_defaults_of_the_training_are_part_of_every_signature():
    from stagetree.core.signature import digest, result_fields

    # Results at the defaults do not name them: who changes one must raise Quantize.VERSION.
    assert (
        digest(result_fields(AwareConfig()))
        == "c51e0fac16f127aa5a4b930a1850c6cc8ad45d0f2d7c088738b919ea1c75ef69"
    )


def test_the_neighbours_of_old_results_keep_their_signatures():
    from stagetree.core.signature import digest, result_fields

    fields = result_fields(QuantizeConfig())
    assert sorted(fields) == ["embeddings", "input", "kind", "method", "per_channel"]
    assert digest(fields) == "00233a3e3936a829a017738d50b227536f456b68ac89a1366870261504c79dba"
