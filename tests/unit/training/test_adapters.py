"""Adapters of every method on encoders of three families, through the door stages use."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForTokenClassification,
    RobertaConfig,
    RobertaForTokenClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from stagetree.core.errors import ModelError
from stagetree.data.corpus import Corpus
from stagetree.models import format as model_format
from stagetree.models.adapter_config import AdapterConfig, AdapterMethod, AdapterTargets
from stagetree.models.huggingface import open_model
from stagetree.models.load import load
from stagetree.training.adapters import Adapted
from stagetree.training.config import TrainingConfig
from stagetree.training.fit import fit
from stagetree.training.learner import Learner, Start
from stagetree.training.objectives import CrossEntropy

METHODS = [method for method in AdapterMethod if method is not AdapterMethod.none]
MERGED = [method for method in METHODS if not AdapterConfig(method).stays_apart]
APART = [method for method in METHODS if AdapterConfig(method).stays_apart]
OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 4}
LABELS = ["O", "B-X", "I-X"]
ENCODER = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "bert": (BertForTokenClassification, BertConfig, ENCODER),
    "roberta": (RobertaForTokenClassification, RobertaConfig, ENCODER | {"pad_token_id": 0}),
    "distilbert": (
        DistilBertForTokenClassification,
        DistilBertConfig,
        {
            "vocab_size": 64,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": 64,
        },
    ),
}


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def make(family: str = "bert") -> Any:
    model_class, config_class, options = FAMILIES[family]
    names = dict(enumerate(LABELS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = config_class(**options, id2label=names, label2id={v: k for k, v in names.items()})
        return model_class(config).eval()


@dataclass
class Surroundings:
    root: Path
    task: Any
    corpus: Corpus
    name: str = "tag"
    seed: int = 5
    numerics: str = "fp32"
    killed_at: float = 0.0
    trunks: Any = None
    told: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def scratch(self) -> Path:
        self.root.joinpath("scratch").mkdir(exist_ok=True)
        return self.root / "scratch"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def stepped(self, step: int, total: int, logs: Any) -> None:
        pass

    def evaluated(self, fraction: float, metrics: Any) -> None:
        self.told.append((fraction, dict(metrics)))
        if fraction == self.killed_at:
            raise Killed

    @property
    def best(self) -> dict[str, float]:
        return max((metrics for _, metrics in self.told), key=lambda metrics: metrics["accuracy"])


@pytest.fixture
def tuned(tmp_path, task, tokenizer, train_rows, validation_rows):
    corpus = Corpus("tags", train_rows, validation_rows, validation_rows, "tags")

    def tune(adapter: AdapterConfig, family: str = "bert", at: str = "a", **options: Any) -> Any:
        context = Surroundings(tmp_path / at, task, corpus, killed_at=options.pop("killed_at", 0.0))
        start = Start({}, lambda: Learner(make(family), tokenizer, LABELS))
        fit(start, TrainingConfig(**OPTIONS | options, adapter=adapter), CrossEntropy(), context)
        return context

    return tune


@pytest.fixture
def scored(task, validation_rows):
    def score(directory: Path) -> float:
        runner, collate = load(directory), task.collator(None)
        rows = [validation_rows[index] for index in range(len(validation_rows))]
        logits = [runner.logits(collate([row]))[0] for row in rows]
        labels = [np.array(row["labels"]) for row in rows]
        found: float = task.score(logits, labels, LABELS).metrics["accuracy"]
        return found

    return score


def batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 9, 12, 33, 60], [7, 8, 20, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_learns_and_comes_back_with_its_score(tuned, scored, method, family):
    context = tuned(AdapterConfig(method), family)
    first, last = context.told[0][1], context.told[-1][1]
    assert last["loss"] < first["loss"]
    # Merging rounds: no more than one token of the 30 rows may change sides.
    assert scored(context.output) == pytest.approx(context.best["accuracy"], abs=0.01)
    manifest = model_format.read(context.output)
    entry = manifest.lineage["adapter"]
    assert entry["method"] == method.name
    assert entry["merged"] == (method in MERGED)
    assert 0 < entry["trainable_parameters"] < manifest.parameters
    assert {path.name for path in (context.output / "adapter").iterdir()} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
    }


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_resumes_exactly(tuned, method):
    adapter = AdapterConfig(method, dropout=0.1)
    whole = tuned(adapter, at="whole")
    with pytest.raises(Killed):
        tuned(adapter, at="cut", killed_at=0.5)
    torch.manual_seed(99)
    cut = tuned(adapter, at="cut")
    assert [fraction for fraction, _ in cut.told] == [0.5, 0.75, 1.0]
    assert cut.told == whole.told[1:]
    for name in ("model.safetensors", "adapter/adapter_model.safetensors"):
        one, other = (load_file(context.output / name) for context in (whole, cut))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", MERGED, ids=lambda method: method.name)
def test_a_merged_model_gives_the_outputs_of_the_adapted_one(tmp_path, method):
    model = make()
    adapted = Adapted(model, AdapterConfig(method), seed=1, total_steps=10)
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "ranknum" not in name:
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    with torch.no_grad():
        before = model(**batch()).logits
        plain = make()(**batch()).logits
    adapted.dissolve(tmp_path)
    with torch.no_grad():
        after = model(**batch()).logits
    assert float((before - plain).abs().max()) > 0.01
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)
    assert model.state_dict().keys() == make().state_dict().keys()


@pytest.mark.parametrize("method", MERGED, ids=lambda method: method.name)
def test_peft_reads_the_kept_adapter(tuned, method):
    from peft import PeftModel

    context = tuned(AdapterConfig(method))
    again = PeftModel.from_pretrained(make(), context.output / "adapter").eval()
    merged, _, _ = open_model(context.output)
    with torch.no_grad():
        torch.testing.assert_close(
            again(**batch()).logits, merged(**batch()).logits, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("method", APART, ids=lambda method: method.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_virtual_tokens_reopen_bit_equal_in_a_new_process(tuned, method, family, tmp_path):
    context = tuned(AdapterConfig(method, virtual_tokens=5), family)
    here = load(context.output).logits(batch())
    script = (
        "import sys, numpy, torch; torch.set_num_threads(1)\n"
        "from stagetree.models.load import load\n"
        f"ids = torch.tensor({batch()['input_ids'].tolist()})\n"
        "rows = {'input_ids': ids, 'attention_mask': (ids > 0).long()}\n"
        "numpy.save(sys.argv[2], load(sys.argv[1]).logits(rows))\n"
    )
    saved = tmp_path / "there.npy"
    subprocess.run([sys.executable, "-c", script, context.output, saved], check=True)
    assert here.shape == (2, 5, 3)
    assert np.array_equal(here, np.load(saved))
    manifest = model_format.read(context.output)
    base = sum(weight.numel() for weight in make(family).parameters())
    assert manifest.form == "adapter"
    assert manifest.parameters == base + 5 * 32 * (4 if method is AdapterMethod.prefix else 1)
    with pytest.raises(ModelError, match="distil it first"):
        open_model(context.output)


@pytest.mark.parametrize("method", APART, ids=lambda method: method.name)
@pytest.mark.parametrize("model_class", [BertForTokenClassification, BertForSequenceClassification])
def test_virtual_tokens_count_and_come_off_again(tmp_path, method, model_class):
    model = model_class(BertConfig(**ENCODER)).eval()
    with torch.no_grad():
        before = model(**batch()).logits
        adapted = Adapted(model, AdapterConfig(method), seed=1, total_steps=10)
        within = model(**batch()).logits
        padded = torch.nn.functional.pad(batch()["input_ids"], (0, 3))
        longer = model(input_ids=padded, attention_mask=(padded > 0).long()).logits
        adapted.dissolve(tmp_path)
        after = model(**batch()).logits
    assert before.shape == within.shape
    assert not torch.allclose(before, within, atol=1e-6)
    assert torch.equal(before, after)
    kept = longer[:, :5] if longer.dim() == 3 else longer
    real = batch()["attention_mask"].bool() if longer.dim() == 3 else slice(None)
    torch.testing.assert_close(kept[real], within[real], atol=1e-5, rtol=1e-4)


def test_only_the_adapter_and_the_head_move(tuned):
    context = tuned(AdapterConfig(AdapterMethod.lora, targets=AdapterTargets.attention))
    start, end = make().state_dict(), load_file(context.output / "model.safetensors")
    moved = {name for name in end if not torch.equal(start[name], end[name])}
    assert {"classifier.weight", "bert.encoder.layer.0.attention.self.query.weight"} <= moved
    assert all(name.startswith("classifier") or ".attention." in name for name in moved)
    assert not any(name.endswith("query.bias") for name in moved)


def test_checkpoints_hold_what_trains_only(tuned, tmp_path):
    with pytest.raises(Killed):
        tuned(AdapterConfig(AdapterMethod.lora, modules=["query"]), killed_at=0.5)
    [checkpoint] = (tmp_path / "a" / "scratch" / "checkpoints").iterdir()
    names = load_file(checkpoint / "model.safetensors").keys()
    assert all("lora_" in name or name.startswith("classifier") for name in names)
    moments = json.loads((checkpoint / "run.json").read_text())["optimizer"]["param_groups"]
    assert sum(len(group["params"]) for group in moments) == len(names)


def test_adalora_shares_its_ranks_out(tuned):
    context = tuned(AdapterConfig(AdapterMethod.adalora, rank=4), learning_rate=3e-2, epochs=8)
    stored = load_file(context.output / "adapter" / "adapter_model.safetensors")
    ranks = [int((value != 0).sum()) for name, value in stored.items() if name.endswith("lora_E")]
    assert sum(ranks) < 6 * len(ranks)


def test_adalora_resumes_exactly_when_its_ranks_are_final(tuned):
    adapter = AdapterConfig(AdapterMethod.adalora)
    whole = tuned(adapter, at="whole", learning_rate=3e-2)
    with pytest.raises(Killed):
        tuned(adapter, at="cut", learning_rate=3e-2, killed_at=0.75)
    assert tuned(adapter, at="cut", learning_rate=3e-2).told == whole.told[2:]


def test_a_prompt_that_leaves_too_few_positions_is_refused(tuned):
    with pytest.raises(ModelError, match="64 positions of the model"):
        tuned(AdapterConfig(AdapterMethod.prompt, virtual_tokens=60))


def test_layers_learn_at_their_own_rates_under_an_adapter(tuned):
    same = tuned(AdapterConfig(AdapterMethod.lora), at="same")
    slower = tuned(AdapterConfig(AdapterMethod.lora), at="slower", layer_decay=0.1)
    assert same.told != slower.told


def test_an_unknown_module_is_named_with_the_nearest(tuned):
    with pytest.raises(ModelError, match="did you mean 'query'"):
        tuned(AdapterConfig(AdapterMethod.lora, modules=["qeury"]))


def test_other_attention_is_refused_rather_than_the_prefix_forgotten():
    model = make()
    Adapted(model, AdapterConfig(AdapterMethod.prefix), seed=1, total_steps=10)
    model.set_attn_implementation("eager")
    with pytest.raises(ModelError, match="prefix"):
        model(**batch())


@pytest.mark.parametrize("method", APART, ids=lambda method: method.name)
def test_an_encoder_with_a_decoder_takes_no_virtual_tokens(method):
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=64, d_model=32, d_kv=16, num_layers=2, num_heads=2, d_ff=64)
    )
    with pytest.raises(ModelError, match=r"choose adapter\.method=lora"):
        Adapted(model, AdapterConfig(method), seed=1, total_steps=10)
