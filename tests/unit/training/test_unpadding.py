from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from stagetree.training.unpadding import balanced, unpadded

SIZES: dict[str, int] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}
DISTIL = {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
LENGTHS = (60, 3, 11, 5, 40, 8, 2, 17, 4, 4, 29, 6)


def model(kind: str, auto: Any, attention: str, dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    sizes = DISTIL if kind == "distilbert" else SIZES
    names = ("dropout", "attention_dropout", "seq_classif_dropout")
    plain = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    drops = dict.fromkeys(names if kind == "distilbert" else plain, dropout)
    config = AutoConfig.for_model(kind, **sizes, **drops, num_labels=3, pad_token_id=1)
    return auto.from_config(config, attn_implementation=attention)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.ones(len(LENGTHS), max(LENGTHS), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(2, 60, (length,), generator=generator)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def tokens_computed(model: Any, run: Callable[[], Any]) -> int:
    """Return how many tokens the first layer saw in ``run``."""
    seen: list[int] = []
    encoder = getattr(model.base_model, "encoder", None) or model.base_model.transformer
    hook = encoder.layer[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].shape[0] * args[0].shape[1])
    )
    run()
    hook.remove()
    return seen[0]


def gradients(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs at real tokens and all gradients of a loss over them."""
    model.zero_grad()
    logits = model(**batch).logits
    real = batch["attention_mask"].bool()
    outputs = logits[real] if logits.dim() == 3 else logits
    outputs.square().sum().backward()
    grads = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return outputs.detach(), torch.cat(grads)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "auto", [AutoModelForTokenClassification, AutoModelForSequenceClassification]
)
@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "roberta"])
def test_outputs_and_gradients_are_those_of_the_padded_batch(
    kind: str, auto: Any, attention: str, batch: dict[str, torch.Tensor]
) -> None:
    one = model(kind, auto, attention).train()
    padded = gradients(one, batch)
    with unpadded(one) as able:
        assert able
        packed = gradients(one, batch)
        computed = tokens_computed(one, lambda: one(**batch))
    for mine, theirs in zip(packed, padded, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    assert computed < 1.2 * sum(LENGTHS)
    assert tokens_computed(one, lambda: one(**batch)) == len(LENGTHS) * max(LENGTHS)


def test_rows_of_one_line_do_not_see_each_other(batch: dict[str, torch.Tensor]) -> None:
    one = model("bert", AutoModelForTokenClassification, "sdpa").train()
    with unpadded(one):
        before = one(**batch).logits[1, :3]
        batch["input_ids"][2, :11] = 7
        assert torch.allclose(one(**batch).logits[1, :3], before, atol=1e-6)


def test_evaluation_is_left_alone(batch: dict[str, torch.Tensor]) -> None:
    one = model("bert", AutoModelForTokenClassification, "sdpa").eval()
    with unpadded(one):
        assert tokens_computed(one, lambda: one(**batch)) == len(LENGTHS) * max(LENGTHS)


def test_a_batch_with_little_padding_is_left_alone(batch: dict[str, torch.Tensor]) -> None:
    one = model("bert", AutoModelForTokenClassification, "sdpa").train()
    same = {name: value[[0, 0, 0, 4]] for name, value in batch.items()}
    with unpadded(one):
        assert tokens_computed(one, lambda: one(**same)) == 240


def test_other_models_are_left_as_they_are() -> None:
    gpt = AutoConfig.for_model("gpt2", vocab_size=60, n_embd=32, n_layer=1, n_head=2, num_labels=3)
    with unpadded(AutoModelForTokenClassification.from_config(gpt)) as able:
        assert not able


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_every_row_lies_in_one_line_and_lines_are_alike(sizes: list[int], width: int) -> None:
    lines = balanced(sizes, width)
    assert sorted(item for line in lines for item in line) == list(range(len(sizes)))
    loads = [sum(sizes[item] for item in line) for line in lines]
    assert all(loads)
    assert max(loads) <= sum(sizes) / len(lines) + max(sizes)
