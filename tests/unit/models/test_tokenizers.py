"""Tokenizers of models and of stored results."""

import json
import shutil

import pytest

from stagetree.core.errors import ModelError
from stagetree.models import tokenizers
from stagetree.models.config import ModelConfig


def test_an_unreadable_tokenizer_is_a_model_error(own_dir):
    (own_dir / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot read the tokenizer in .*own"):
        tokenizers.of_model(ModelConfig(name=str(own_dir)))


def test_the_tokenizer_is_one_object_a_process(config):
    assert tokenizers.of_model(config) is tokenizers.of_model(config)
    assert tokenizers.of_model(config).is_fast


def test_saving_does_not_depend_on_what_the_tokenizer_did_last(config, labels, tmp_path):
    tokenizer = tokenizers.of_model(config)
    texts = []
    for length in (4, 8):
        tokenizer(["word1 word2"], truncation=True, max_length=length, padding="max_length")
        place = tmp_path / str(length)
        place.mkdir()
        tokenizers.save(tokenizer, place)
        texts.append((place / "tokenizer.json").read_bytes())
    assert texts[0] == texts[1]


def test_results_of_the_same_tokenizer_share_it(saved_dir, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(saved_dir, other)
    (other / "manifest.json").write_text("{}")
    assert tokenizers.stored(other) is tokenizers.stored(saved_dir)


def test_a_tokenizer_that_changed_on_disk_is_read_again(saved_dir):
    first = tokenizers.stored(saved_dir)
    path = saved_dir / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "model_max_length": 17}))
    assert tokenizers.stored(saved_dir).model_max_length == 17 != first.model_max_length


def test_an_unreadable_stored_tokenizer_is_a_model_error(saved_dir):
    (saved_dir / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot read the tokenizer in"):
        tokenizers.stored(saved_dir)
