import json

import pytest

from stagetree.core.errors import ModelError
from stagetree.models import format as model_format
from stagetree.models.format import MANIFEST, Manifest


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    model_format.write(
        tmp_path, Manifest("huggingface", "ner", "AutoModel", ["O", "B-X"], 64, parameters=7)
    )
    return tmp_path


def _rewrite(directory, **changes):
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


def test_a_manifest_comes_back(directory):
    manifest = model_format.read(directory)
    assert manifest.labels == ["O", "B-X"]
    assert manifest.parameters == 7
    assert manifest.files == {"model.safetensors": 5}


def test_optional_entries_have_defaults(directory):
    _rewrite(directory, numerics="gone", lineage="gone", tokenizer="gone")
    assert model_format.read(directory).numerics == "fp32"


def test_a_missing_directory_and_a_missing_manifest_differ(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        model_format.read(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no stagetree\.json"):
        model_format.read(tmp_path)


def test_a_missing_file_is_named(directory):
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors.*missing"):
        model_format.read(directory)


def test_a_file_of_another_size_is_named(directory):
    (directory / "model.safetensors").write_bytes(b"123")
    with pytest.raises(ModelError, match=r"model\.safetensors was altered: expected 5 .* got 3"):
        model_format.read(directory)


def test_a_file_of_the_same_size_and_other_content_is_named(directory):
    (directory / "model.safetensors").write_bytes(b"54321")
    with pytest.raises(ModelError, match=r"model\.safetensors was altered: expected sha256 5994"):
        model_format.read(directory)


def test_a_directory_without_hashes_still_opens(directory):
    _rewrite(directory, sha256="gone")
    (directory / "model.safetensors").write_bytes(b"54321")
    assert model_format.read(directory).files == {"model.safetensors": 5}


def test_the_model_card_may_be_edited(directory):
    (directory / "README.md").write_text("A card.")
    manifest = model_format.read(directory)
    assert model_format.write(directory, manifest).files == {"model.safetensors": 5}
    (directory / "README.md").write_text("Another card.")
    assert model_format.read(directory) == manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected model format 1 but got 2"),
        ({"labels": "gone"}, r"missing entries \['labels'\]"),
        ({"extra": 1}, r"unknown entries \['extra'\]"),
        ({"max_length": "64"}, "expected max_length to be int but got '64'"),
    ],
)
def test_a_malformed_manifest_says_how(directory, change, message):
    _rewrite(directory, **change)
    with pytest.raises(ModelError, match=message):
        model_format.read(directory)


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_manifest_that_is_no_mapping_is_refused(directory, text):
    (directory / MANIFEST).write_text(text)
    with pytest.raises(ModelError, match=MANIFEST):
        model_format.read(directory)
