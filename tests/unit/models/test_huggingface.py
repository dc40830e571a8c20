import time
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from stagetree.core.errors import ModelError
from stagetree.models import format as model_format
from stagetree.models import huggingface
from stagetree.models.checkpoint import configuration
from stagetree.models.config import ModelConfig

TOKENS = "AutoModelForTokenClassification"
SEQUENCES = "AutoModelForSequenceClassification"


def _equal(first, second) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("auto_class", [TOKENS, SEQUENCES])
@pytest.mark.parametrize("from_scratch", [False, True])
def test_equal_seeds_give_equal_weights_whatever_ran_before(
    config, labels, auto_class, from_scratch
):
    config = replace(config, from_scratch=from_scratch)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = huggingface.build(config, auto_class, labels, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)
    assert _equal(first, huggingface.build(config, auto_class, labels, seed=3))
    assert not _equal(first, huggingface.build(config, auto_class, labels, seed=4))
    assert not first.training
    assert {weight.dtype for weight in first.parameters()} == {torch.float32}


def test_the_base_is_pretrained_and_the_head_is_not(base_dir, config, labels):
    stored = load_file(base_dir / "model.safetensors")
    model = huggingface.build(config, TOKENS, labels, seed=3).state_dict()
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(model[f"bert.{name}"], stored[name])
    assert model["classifier.weight"].std() > 0


def test_training_a_built_model_leaves_the_cache_alone(config, labels):
    first = huggingface.build(config, TOKENS, labels, seed=3)
    kept = {name: value.clone() for name, value in first.state_dict().items()}
    with torch.no_grad():
        for weight in first.parameters():
            weight.zero_()
    again = huggingface.build(config, TOKENS, labels, seed=3).state_dict()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_second_build_is_quick(config, labels):
    huggingface.build(config, TOKENS, labels, seed=1)
    start = time.perf_counter()
    huggingface.build(config, TOKENS, labels, seed=2)
    assert time.perf_counter() - start < 0.15


def test_a_changed_directory_is_read_again(own_dir, labels):
    config = ModelConfig(name=str(own_dir))
    first = huggingface.build(config, TOKENS, labels, seed=1)
    weights = load_file(own_dir / "model.safetensors")
    changed = {name: value + 1 for name, value in weights.items()}
    save_file(changed, own_dir / "model.safetensors", metadata={"format": "pt"})
    assert not _equal(first, huggingface.build(config, TOKENS, labels, seed=1))


def test_labels_and_dropout_are_in_the_config(config, labels):
    model = huggingface.build(config, TOKENS, labels, seed=1, dropout=0.25)
    assert model.config.id2label == dict(enumerate(labels))
    assert model.config.label2id["B-X"] == 1
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
        assert getattr(model.config, name) == 0.25
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}


@pytest.mark.parametrize("family", ["distilbert", "roberta", "electra"])
def test_dropout_reaches_every_family(family, family_config, own_dir, labels):
    family_config(family).save_pretrained(own_dir)
    config = ModelConfig(name=str(own_dir), from_scratch=True)
    model = huggingface.build(config, SEQUENCES, labels, seed=1, dropout=0.25)
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}


def test_a_head_with_the_same_labels_is_kept(saved_dir, labels):
    config = ModelConfig(name=str(saved_dir))
    stored = load_file(saved_dir / "model.safetensors")["classifier.weight"]
    kept = huggingface.build(config, TOKENS, labels, seed=99).state_dict()["classifier.weight"]
    assert torch.equal(kept, stored)
    new = huggingface.build(config, TOKENS, ["O", "B-Y", "I-Y"], seed=99).state_dict()
    assert not torch.equal(new["classifier.weight"], stored)


def test_overrides_shape_a_model_from_scratch(config, labels):
    config = replace(config, from_scratch=True, overrides={"hidden_size": 16})
    assert huggingface.build(config, TOKENS, labels, seed=1).config.hidden_size == 16
    assert configuration(replace(config, overrides={})).hidden_size == 32


def test_a_pretrained_model_can_lose_layers(config, labels):
    config = replace(config, overrides={"num_hidden_layers": 2})
    model = huggingface.build(config, TOKENS, labels, seed=1)
    assert len(model.bert.encoder.layer) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"hidden_sise": 16}, "did you mean 'hidden_size'"),
        ({"hidden_size": 16}, "must keep shapes"),
        ({"num_hidden_layers": 6}, "no weights for .* of its layers"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(config, labels, overrides, message):
    with pytest.raises(ModelError, match=message):
        huggingface.build(replace(config, overrides=overrides), TOKENS, labels, seed=1)


def test_unreadable_weights_are_a_model_error(own_dir, labels):
    (own_dir / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match=r"cannot read the model in .*own"):
        huggingface.build(ModelConfig(name=str(own_dir)), TOKENS, labels, seed=1)


def test_nothing_is_printed(config, labels, saved_dir, capfd):
    huggingface.build(config, SEQUENCES, labels, seed=11)
    huggingface.open_model(saved_dir)
    assert capfd.readouterr() == ("", "")


def test_a_saved_model_reopens_to_be_trained(config, labels, saved_dir):
    model, tokenizer, manifest = huggingface.open_model(saved_dir, dropout=0.3)
    assert _equal(model, huggingface.build(config, TOKENS, labels, seed=1))
    assert model.config.hidden_dropout_prob == 0.3
    assert tokenizer.is_fast
    assert (manifest.task, manifest.auto_class, manifest.labels) == ("ner", TOKENS, labels)
    assert manifest.parameters == sum(weight.numel() for weight in model.parameters())


def test_a_saved_model_is_an_ordinary_one_to_transformers(saved_dir, labels):
    pipe = transformers.pipeline("token-classification", model=str(saved_dir), device="cpu")
    found = pipe("word1 word2 word3")
    assert {entity["entity"] for entity in found} <= set(labels)


def test_weights_missing_from_a_saved_model_are_named(saved_dir):
    path = saved_dir / "model.safetensors"
    weights = load_file(path)
    del weights["classifier.bias"]
    save_file(weights, path, metadata={"format": "pt"})
    model_format.write(saved_dir, huggingface.Manifest(**_entries(saved_dir)))
    with pytest.raises(ModelError, match=r"classifier\.bias"):
        huggingface.open_model(saved_dir)


def _entries(directory):
    import json

    content = json.loads((directory / model_format.MANIFEST).read_text())
    del content["format"], content["files"]
    return content
