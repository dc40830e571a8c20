"""Quantised tensors find their way back into models of any shape."""

import numpy as np
import pytest
import torch
import transformers
from transformers.pytorch_utils import prune_linear_layer

from stagetree.core.errors import ModelError
from stagetree.models import huggingface, int8
from stagetree.models.format import Manifest


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_tensors_make_the_same_model_again(family, per_channel, family_config, tmp_path):
    model, manifest = _stored(family_config(family), tmp_path)
    tensors = int8.dynamic_int8(model, per_channel, embeddings=True)
    again, twice = (int8.skeleton(tmp_path, manifest) for _ in range(2))
    int8.fill(again, tensors)
    int8.fill(twice, tensors)
    found, expected = _logits(again), _logits(model)
    np.testing.assert_array_equal(found, _logits(twice))
    assert 0 < np.abs(found - expected).max() < 0.1
    assert all(tensor.dtype != torch.float32 or tensor.dim() < 2 or tensor.shape[1] == 1
               for name, tensor in tensors.items())  # fmt: skip


def test_layers_need_not_have_the_shapes_of_the_config(family_config, tmp_path):
    model, manifest = _stored(family_config("bert"), tmp_path)
    for layer in model.bert.encoder.layer:
        half = torch.arange(16)  # two heads of four
        attention = layer.attention.self
        for name in ("query", "key", "value"):
            setattr(attention, name, prune_linear_layer(getattr(attention, name), half))
        output = layer.attention.output
        output.dense = prune_linear_layer(output.dense, half, dim=1)
    for embeddings in (True, False):
        tensors = int8.dynamic_int8(model, True, embeddings)
        again = int8.skeleton(tmp_path, manifest)
        int8.fill(again, tensors)
        assert np.abs(_logits(again) - _logits(model)).max() < 0.1


def test_a_missing_weight_is_named(family_config, tmp_path):
    model, manifest = _stored(family_config("bert"), tmp_path)
    tensors = int8.dynamic_int8(model, True, True)
    del tensors["classifier.bias"]
    del tensors["bert.embeddings.LayerNorm.weight"]
    with pytest.raises(ModelError, match=r"bert\.embeddings\.LayerNorm\.weight"):
        int8.fill(int8.skeleton(tmp_path, manifest), tensors)


def test_the_global_random_state_is_left_alone(family_config, tmp_path):
    _, manifest = _stored(family_config("bert"), tmp_path)
    before = torch.get_rng_state()
    int8.skeleton(tmp_path, manifest)
    assert torch.equal(before, torch.get_rng_state())


def _stored(config, place):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForTokenClassification.from_config(config).eval()
    config.save_pretrained(place)
    auto_class = huggingface._auto_class(type(model))
    return model, Manifest("torch_int8", "ner", auto_class, ["O", "B-X", "I-X"], 32, 0)


def _logits(model):
    ids = torch.arange(5, 45).reshape(2, 20)
    with torch.inference_mode():
        return model(input_ids=ids).logits.numpy()
