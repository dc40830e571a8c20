"""The form ``pruned``, through the one loader."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from stagetree.core.errors import ModelError
from stagetree.models import format as model_format
from stagetree.models import huggingface
from stagetree.models.load import load
from stagetree.models.measure import measure
from stagetree.models.structure import keep

BATCH = {"input_ids": np.array([[2, 9, 33, 8, 3], [2, 50, 3, 0, 0]])}
BATCH["attention_mask"] = (BATCH["input_ids"] > 0).astype(int)


@pytest.fixture
def pruned_dir(saved_dir, labels, tmp_path):
    model, tokenizer, _ = huggingface.open_model(saved_dir)
    keep(model, [[1], [0, 2], [3], [0, 1, 2, 3]], [range(8, 24), range(64), range(8), range(32)])
    place = tmp_path / "pruned"
    place.mkdir()
    huggingface.save(model, tokenizer, place, "ner", labels, 64)
    np.save(tmp_path / "batch.npy", BATCH["input_ids"])
    return place


def test_another_process_gives_the_same_bits(pruned_dir, tmp_path):
    runner = load(pruned_dir)
    assert runner.form == "pruned"
    program = (
        "import sys, numpy as np\n"
        "from stagetree.models.load import load\n"
        "ids = np.load(sys.argv[2])\n"
        "batch = {'input_ids': ids, 'attention_mask': (ids > 0).astype(int)}\n"
        "np.save(sys.argv[3], load(sys.argv[1]).logits(batch))\n"
    )
    found = tmp_path / "found.npy"
    arguments = [str(pruned_dir), str(tmp_path / "batch.npy"), str(found)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    np.testing.assert_array_equal(np.load(found), runner.logits(BATCH))


def test_it_is_measured_and_smaller(pruned_dir, saved_dir):
    pruned, whole = measure(pruned_dir), measure(saved_dir)
    assert pruned["parameters"] < whole["parameters"]
    assert pruned["bytes"] < whole["bytes"]


def test_sizes_that_cannot_be_read_are_refused(pruned_dir):
    path, manifest = pruned_dir / "structure.json", model_format.read(pruned_dir)
    whole = path.read_text()
    path.write_text(json.dumps({"heads": [1, 2, 1, 4]}).ljust(len(whole)))
    with pytest.raises(ModelError, match=r"structure\.json was altered: expected sha256"):
        load(pruned_dir)
    model_format.write(pruned_dir, replace(manifest, sha256={}))
    with pytest.raises(ModelError, match=r"structure\.json does not say the sizes"):
        load(pruned_dir)
