import subprocess
import sys
from dataclasses import replace

import pytest

from stagetree.core.errors import ModelError
from stagetree.models import source
from stagetree.models.config import ModelConfig


def _messages(config: ModelConfig) -> dict[str, str]:
    return {fault.path: fault.message for fault in source.check(config)}


def test_a_complete_directory_is_located_and_faultless(base_dir, config):
    assert source.locate(config) == str(base_dir.resolve())
    assert source.locate_tokenizer(config) == str(base_dir.resolve())
    assert source.check(config) == []
    assert source.commit(config) is None


def test_a_directory_without_config_is_refused_with_what_it_has(own_dir):
    (own_dir / "config.json").unlink()
    config = ModelConfig(name=str(own_dir))
    with pytest.raises(ModelError, match=r"no config\.json \(found model\.safetensors"):
        source.locate(config)
    assert "no config.json" in _messages(config)["name"]


def test_a_missing_tokenizer_can_come_from_elsewhere(own_dir, base_dir):
    for path in own_dir.glob("tokenizer*"):
        path.unlink()
    config = ModelConfig(name=str(own_dir))
    with pytest.raises(ModelError, match=r"tokenizer\.json.*set model\.tokenizer"):
        source.locate(config)
    mended = replace(config, tokenizer=str(base_dir))
    assert source.locate(mended) == str(own_dir.resolve())
    assert source.locate_tokenizer(mended) == str(base_dir.resolve())
    assert source.check(mended) == []


def test_a_missing_tokenizer_elsewhere_is_a_fault_of_the_tokenizer(base_dir, tmp_path):
    config = ModelConfig(name=str(base_dir), tokenizer=str(tmp_path))
    assert "is empty" in _messages(config)["tokenizer"]
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        source.locate_tokenizer(config)


def test_weights_are_needed_unless_started_from_scratch(own_dir):
    (own_dir / "model.safetensors").unlink()
    config = ModelConfig(name=str(own_dir))
    with pytest.raises(ModelError, match=r"model\.from_scratch=true"):
        source.locate(config)
    assert source.check(replace(config, from_scratch=True)) == []


def test_an_onnx_directory_is_no_starting_point(own_dir):
    (own_dir / "model.safetensors").rename(own_dir / "model.onnx")
    with pytest.raises(ModelError, match="cannot be trained further"):
        source.locate(ModelConfig(name=str(own_dir)))


def test_revision_follows_the_content_and_not_the_place(own_dir, base_dir, config):
    copy = ModelConfig(name=str(own_dir))
    assert source.revision(copy) == source.revision(config)
    (own_dir / "README.md").write_text("about")
    assert source.revision(copy) == source.revision(config)
    with (own_dir / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert source.revision(copy) != source.revision(config)


@pytest.mark.parametrize(
    "change", [{"from_scratch": True}, {"overrides": {"hidden_act": "relu"}}, {"tokenizer": "x/y"}]
)
def test_revision_covers_the_options(config, change, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert source.revision(replace(config, **change)) != source.revision(config)


def test_asset_revision_is_known_without_the_asset_and_without_torch():
    program = (
        "import sys\n"
        "from stagetree.models import source\n"
        "from stagetree.models.config import ModelConfig\n"
        "config = ModelConfig(name='minilm_l6')\n"
        "assert source.check(config) == []\n"
        "print(source.revision(config))\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.strip()) == 64


def test_hub_revision_is_the_cached_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source._commit.cache_clear()
    config = ModelConfig(name="owner/model")
    unknown = source.revision(config)
    assert "HF_HUB_OFFLINE" in _messages(config)["name"]
    place = tmp_path / "models--owner--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    (place / "snapshots" / ("a" * 40)).mkdir(parents=True)
    source._commit.cache_clear()
    assert source.check(config) == []
    assert source.locate(config) == "owner/model"
    assert source.commit(config) == "a" * 40
    assert source.revision(config) != unknown
    assert source.revision(replace(config, revision="a" * 40)) == source.revision(config)
    source._commit.cache_clear()


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "distilbert-base-cased", "gpt2", "owner/minilm_l6", "t5-small"]
)
def test_legitimate_hub_ids_are_not_forbidden(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert source.check(ModelConfig(name=name)) == []


@pytest.mark.parametrize("name", ["minilm_l7", "minilm-l6", "miniLM_L6"])
def test_a_misspelt_asset_gets_the_nearest(name, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "Did you mean 'minilm_l6'" in _messages(ModelConfig(name=name))["name"]


def test_a_data_asset_is_no_model():
    assert "is data, not a model" in _messages(ModelConfig(name="pii"))["name"]


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "/nowhere", "~/nowhere"])
def test_a_path_that_does_not_exist_is_refused(name):
    config = ModelConfig(name=name)
    assert "no directory" in _messages(config)["name"]
    with pytest.raises(ModelError, match="no directory"):
        source.locate(config)
    with pytest.raises(ModelError, match="no directory"):
        source.revision(config)
