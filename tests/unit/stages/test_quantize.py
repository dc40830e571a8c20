import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stagetree.core.errors import ModelError
from stagetree.models.config import ModelConfig
from stagetree.stages.base import STAGES, StageContext, Upstream
from stagetree.stages.quantize import Quantize, QuantizeConfig

LABELS = ["no", "yes"]


@pytest.fixture(scope="module")
def trained_dir(tmp_path_factory) -> Path:
    import torch
    import transformers

    from stagetree.models import huggingface

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(95))]
    tokenizer = transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(
            transformers.BertConfig(
                vocab_size=100, intermediate_size=64, id2label=dict(enumerate(LABELS)), **shape
            )
        ).eval()
    place = tmp_path_factory.mktemp("trained")
    huggingface.save(
        model, tokenizer, place, "classification", LABELS, 32, lineage={"stage": "finetune"}
    )
    return place


def _context(source: Path, tmp_path: Path, steps: list[tuple[int, int]]) -> StageContext:
    output = tmp_path / "output"
    output.mkdir()
    return StageContext(
        name="quantize",
        inputs={"input": source},
        output=output,
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        model=ModelConfig(name="unused"),
        task=None,  # type: ignore[arg-type]
        corpus=None,  # type: ignore[arg-type]
        seed=0,
        numerics="fp32",
        stepped=lambda step, total, logs: steps.append((step, total)),
        evaluated=lambda fraction, metrics: pytest.fail("quantize does not evaluate"),
    )


def test_the_result_is_a_smaller_model_that_answers_alike(trained_dir, tmp_path, capfd):
    from stagetree.models.load import load
    from stagetree.models.measure import measure

    steps: list[tuple[int, int]] = []
    context = _context(trained_dir, tmp_path, steps)
    Quantize.run(QuantizeConfig(), context)
    assert capfd.readouterr() == ("", "")
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert list(context.scratch.iterdir()) == []
    runner = load(context.output)
    assert (runner.form, runner.numerics, list(runner.labels)) == ("onnx", "int8", LABELS)
    assert runner.manifest.lineage["from"] == {"stage": "finetune"}
    batch = {"input_ids": np.array([[2, 8, 9, 3], [2, 10, 3, 0]])}
    batch["attention_mask"] = (batch["input_ids"] > 0).astype(int)
    np.testing.assert_allclose(runner.logits(batch), load(trained_dir).logits(batch), atol=0.02)
    assert runner.parameters == load(trained_dir).parameters
    assert measure(runner)["latency_ms"] > 0


def test_quantising_a_quantised_model_fails_with_what_to_do(trained_dir, tmp_path):
    first = _context(trained_dir, tmp_path, [])
    Quantize.run(QuantizeConfig(embeddings=False), first)
    (tmp_path / "again").mkdir()
    with pytest.raises(ModelError, match="place quantize last"):
        Quantize.run(QuantizeConfig(), _context(first.output, tmp_path / "again", []))


def test_an_order_that_cannot_run_is_a_fault():
    before = [Upstream("small", "quantize")]
    faults = Quantize.check(QuantizeConfig(), before)
    assert [fault.path for fault in faults] == ["input"]
    assert "'small' (quantize)" in faults[0].message
    assert Quantize.check(QuantizeConfig(), []) == []


def test_the_chosen_input_counts_and_not_the_neighbour():
    before = [Upstream("tuned", "no-such-kind"), Upstream("small", "quantize")]
    assert Quantize.check(QuantizeConfig(input="tuned"), before) == []
    assert len(Quantize.check(QuantizeConfig(input="small"), before[:2])) == 1


def test_the_kind_is_registered_and_light():
    assert STAGES["quantize"] is Quantize
    program = (
        "import sys, stagetree.stages.quantize\n"
        "heavy = {'torch', 'transformers', 'datasets', 'onnx', 'onnxruntime', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
