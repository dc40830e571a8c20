import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.models import huggingface
from stagetree.models.format import MANIFEST
from stagetree.models.forms.onnx import FILE
from stagetree.models.load import load

IDS = [[2, 9, 10, 11, 3], [2, 12, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
PROGRAM = f"""
import sys
from pathlib import Path
import numpy as np
import torch
from stagetree.models.load import load
torch.set_num_threads(1)
batch = dict(input_ids=np.array({IDS}), attention_mask=np.array({MASK}))
out, *places = map(Path, sys.argv[1:])
for place in places:
    logits = load(place, threads=1, device="cpu").logits(batch)
    np.save(out / (place.name + ".npy"), logits)
"""


@pytest.fixture
def batch():
    return {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}


@pytest.fixture(params=["saved_dir", "onnx_dir"])
def directory(request):
    return request.getfixturevalue(request.param)


def test_logits_are_bit_equal_in_a_new_process(saved_dir, onnx_dir, batch, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(saved_dir), str(onnx_dir)]
    subprocess.run(command, check=True)
    for place in (saved_dir, onnx_dir):
        runner = load(place, threads=1, device="cpu")
        with runner.limited(1):
            here = runner.logits(batch)
        assert here.dtype == np.float32
        assert here.shape == (2, 5, 3)
        assert np.array_equal(here, np.load(tmp_path / f"{place.name}.npy"))


def test_a_stored_model_gives_the_bits_of_the_model_in_memory(config, labels, saved_dir, batch):
    model = huggingface.build(config, "AutoModelForTokenClassification", labels, seed=1)
    with torch.inference_mode():
        expected = model(**batch).logits.numpy()
    assert np.array_equal(load(saved_dir, device="cpu").logits(batch), expected)


def test_tensors_arrays_and_extra_entries_are_taken(directory, batch):
    runner = load(directory)
    expected = runner.logits(batch)
    arrays = {name: value.numpy() for name, value in batch.items()}
    more = {**arrays, "labels": arrays["input_ids"], "length": np.array([5, 3])}
    assert np.array_equal(runner.logits(more), expected)


def test_without_a_mask_every_position_counts(directory, batch):
    runner = load(directory)
    first = {"input_ids": batch["input_ids"][:1]}
    masked = {**first, "attention_mask": torch.ones_like(first["input_ids"])}
    np.testing.assert_allclose(runner.logits(first), runner.logits(masked), atol=1e-6)


def test_a_runner_knows_what_it_runs(directory, labels):
    runner = load(directory)
    assert (runner.task, list(runner.labels), runner.max_length) == ("ner", labels, 64)
    assert runner.parameters > 1000
    assert runner.tokenizer("word1")["input_ids"] == [2, 6, 3]


def test_forms_say_what_they_are(saved_dir, onnx_dir):
    assert (load(saved_dir).form, load(saved_dir).numerics) == ("huggingface", "fp32")
    assert (load(onnx_dir).form, load(onnx_dir).numerics) == ("onnx", "int8")


def test_numerics_can_be_chosen(saved_dir, batch):
    before = torch.get_float32_matmul_precision()
    exact = load(saved_dir, device="cpu").logits(batch)
    fast = load(saved_dir, device="cpu", numerics="fp32_fast").logits(batch)
    coarse = load(saved_dir, device="cpu", numerics="bf16").logits(batch)
    np.testing.assert_allclose(fast, exact, atol=1e-2)
    np.testing.assert_allclose(coarse, exact, atol=1e-2)
    assert not np.array_equal(coarse, exact)
    assert torch.get_float32_matmul_precision() == before


def test_threads_are_limited_only_inside_the_block(directory, batch):
    runner, before = load(directory, threads=2), torch.get_num_threads()
    with runner.limited(1):
        inside = runner.logits(batch)
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(runner.logits(batch), inside, atol=1e-5)


def test_an_onnx_model_cannot_be_trained_further(onnx_dir):
    with pytest.raises(ModelError, match=r"int8 ONNX model cannot be trained.*quantize last"):
        huggingface.open_model(onnx_dir)


def test_a_spoilt_graph_is_named(onnx_dir):
    path = onnx_dir / FILE
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ModelError, match=r"model\.onnx was altered: expected sha256"):
        load(onnx_dir)


def test_an_unknown_form_gets_the_nearest(saved_dir):
    path = saved_dir / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "form": "onx"}))
    with pytest.raises(ModelError, match="Did you mean 'onnx'"):
        load(saved_dir)


def test_a_batch_without_a_needed_input_is_refused(onnx_dir):
    with pytest.raises(ModelError, match="expected 'input_ids'"):
        load(onnx_dir).logits({"attention_mask": np.ones((1, 3))})
