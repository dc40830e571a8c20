"""A tiny pretrained BERT on disk, and a tiny trained model directory."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stagetree.models import format as model_format
from stagetree.models import huggingface, onnx, tokenizers
from stagetree.models.config import ModelConfig
from stagetree.models.forms.onnx import FILE

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += [f"word{number}" for number in range(95)]
LABELS = ["O", "B-X", "I-X"]


@pytest.fixture(scope="session")
def labels() -> list[str]:
    return LABELS


@pytest.fixture(scope="session")
def family_config():
    """Return the tiny ``transformers`` config of a family, with four layers."""
    import transformers

    common = {"vocab_size": 100, "max_position_embeddings": 160, "num_labels": 3}
    bert = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    bert |= {"intermediate_size": 64, **common}

    def make(family: str):
        if family == "distilbert":
            return transformers.DistilBertConfig(
                dim=32, n_layers=4, n_heads=4, hidden_dim=64, **common
            )
        if family == "roberta":
            return transformers.RobertaConfig(pad_token_id=0, **bert)
        if family == "electra":
            return transformers.ElectraConfig(embedding_size=16, **bert)
        return transformers.BertConfig(**bert)

    return make


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory, family_config) -> Path:
    """Directory of a tiny BERT without a head, as a user would have one."""
    import torch
    import transformers

    place = tmp_path_factory.mktemp("pretrained") / "tiny-bert"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.BertModel(family_config("bert")).save_pretrained(place)
    vocab = {word: index for index, word in enumerate(WORDS)}
    transformers.BertTokenizerFast(vocab=vocab).save_pretrained(place)
    return place


@pytest.fixture
def own_dir(base_dir, tmp_path) -> Path:
    """Return a copy of ``base_dir`` that a test may spoil."""
    return Path(shutil.copytree(base_dir, tmp_path / "own"))


@pytest.fixture
def config(base_dir) -> ModelConfig:
    return ModelConfig(name=str(base_dir))


@pytest.fixture
def tokenizer(config):
    return tokenizers.of_model(config)


@pytest.fixture(scope="session")
def _saved(base_dir, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("saved")
    config = ModelConfig(name=str(base_dir))
    model = huggingface.build(config, "AutoModelForTokenClassification", LABELS, seed=1)
    huggingface.save(model, tokenizers.of_model(config), place, "ner", LABELS, 64)
    return place


@pytest.fixture
def saved_dir(_saved, tmp_path) -> Path:
    """Return the directory of a token classifier, as a stage leaves it; a test may spoil it."""
    return Path(shutil.copytree(_saved, tmp_path / "saved"))


@pytest.fixture(scope="session")
def _quantized(_saved, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("onnx")
    model, tokenizer, manifest = huggingface.open_model(_saved)
    plain = tmp_path_factory.mktemp("plain") / "plain.onnx"
    onnx.export(model, tokenizer, plain)
    onnx.quantize(plain, place / FILE)
    model.config.save_pretrained(place)
    tokenizers.save(tokenizer, place)
    model_format.write(place, replace(manifest, form="onnx", numerics="int8"))
    return place


@pytest.fixture
def onnx_dir(_quantized, tmp_path) -> Path:
    """Return the directory of the same model in int8; a test may spoil it."""
    return Path(shutil.copytree(_quantized, tmp_path / "onnx"))
