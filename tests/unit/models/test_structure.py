import numpy as np
import pytest
import torch
import transformers

from stagetree.core.errors import ModelError
from stagetree.models import huggingface
from stagetree.models.onnx import export
from stagetree.models.structure import Structure, blocks, irregular, keep, shrink, structure_of
from stagetree.models.student import select_layers

FAMILIES = ["bert", "distilbert", "roberta", "electra"]
HEADS = [[0, 2], [1], [0, 1, 2, 3], [3]]
UNITS = [range(8, 40), range(64), range(0, 64, 2), range(8)]


@pytest.fixture
def make(family_config):
    def model(family, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings = family_config(family)
            return transformers.AutoModelForTokenClassification.from_config(settings).eval()

    return model


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 100, (3, 11), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def silence(model):
    """Zero what comes from the parts that HEADS and UNITS do not name."""
    for block, heads, units in zip(blocks(model), HEADS, UNITS, strict=True):
        size = block.head_size
        gone = [h * size + i for h in set(range(4)) - set(heads) for i in range(size)]
        with torch.no_grad():
            block.output.weight[:, gone] = 0
            block.down.weight[:, sorted(set(range(64)) - set(units))] = 0


@pytest.mark.parametrize("family", FAMILIES)
def test_removal_equals_silence(make, batch, family):
    removed, silent = make(family), make(family)
    before = torch.random.get_rng_state()
    keep(removed, HEADS, UNITS)
    assert torch.equal(torch.random.get_rng_state(), before)
    silence(silent)
    assert structure_of(removed) == Structure((2, 1, 4, 1), (32, 64, 32, 8))
    assert removed.num_parameters() < silent.num_parameters()
    assert float((logits(removed, batch) - logits(silent, batch)).abs().max()) < 4e-7


@pytest.mark.parametrize("family", FAMILIES)
def test_an_irregular_model_is_stored_and_comes_back(
    make, batch, family, tokenizer, labels, tmp_path
):
    model = make(family)
    keep(model, HEADS, UNITS)
    assert irregular(model)
    manifest = huggingface.save(model, tokenizer, tmp_path, "ner", labels, 64)
    assert manifest.form == "pruned"
    assert manifest.parameters == model.num_parameters()
    reopened, _, _ = huggingface.open_model(tmp_path, dropout=0.25)
    assert torch.equal(logits(reopened, batch), logits(model, batch))
    assert {m.p for m in reopened.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_an_irregular_model_keep_their_sizes(make, batch, family):
    model = make(family)
    keep(model, HEADS, UNITS)
    assert structure_of(select_layers(model, [0, 2])) == Structure((2, 4), (32, 32))
    assert torch.equal(logits(select_layers(model, [0, 1, 2, 3]), batch), logits(model, batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_irregular_model_is_exported(make, family, tokenizer, tmp_path):
    model = make(family)
    keep(model, HEADS, UNITS)
    export(model, tokenizer, tmp_path / "model.onnx")  # compares the numbers itself
    assert (tmp_path / "model.onnx").is_file()


def test_equally_narrow_layers_are_said_by_the_config(make, batch, tokenizer, labels, tmp_path):
    model = make("bert")
    keep(model, [range(4)] * 4, [range(16)] * 4)
    assert not irregular(model)
    manifest = huggingface.save(model, tokenizer, tmp_path, "ner", labels, 64)
    assert manifest.form == "huggingface"
    loaded = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    np.testing.assert_array_equal(logits(loaded, batch), logits(model, batch))


def test_layers_do_not_grow(make):
    with pytest.raises(ModelError, match="expected layers of at most"):
        shrink(make("bert"), Structure((5, 4, 4, 4), (64,) * 4))
    with pytest.raises(ModelError, match="expected layers of at most"):
        shrink(make("bert"), Structure((4,), (64,)))


def test_other_families_are_refused_with_those_that_can():
    settings = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20)
    model = transformers.AutoModelForCausalLM.from_config(settings)
    assert not irregular(model)
    with pytest.raises(ModelError, match=r"bert, .*distilbert.* but got 'gpt2'"):
        keep(model, [[0]], [[0]])
