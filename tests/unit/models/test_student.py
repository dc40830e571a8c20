import numpy as np
import pytest
import torch
import transformers

from stagetree.core.errors import ModelError
from stagetree.models import huggingface
from stagetree.models.load import load
from stagetree.models.student import layer_count, select_layers, spread

FAMILIES = ["bert", "distilbert", "roberta", "electra"]
BATCH = {
    "input_ids": torch.tensor([[2, 9, 10, 3], [2, 11, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.fixture(params=FAMILIES)
def model(request, family_config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.AutoModelForTokenClassification.from_config(
            family_config(request.param)
        ).eval()


def _logits(model):
    with torch.inference_mode():
        return model(**BATCH).logits.numpy()


@pytest.mark.parametrize("total", [1, 2, 5, 12, 24])
def test_spread_is_rising_and_holds_both_ends(total):
    for keep in range(1, total + 1):
        chosen = spread(total, keep)
        assert len(set(chosen)) == keep
        assert chosen == sorted(chosen)
        assert chosen[0] == 0
        assert keep == 1 or chosen[-1] == total - 1
    assert spread(total, total) == list(range(total))


@pytest.mark.parametrize("keep", [0, 7, -1])
def test_spread_refuses_what_cannot_be_kept(keep):
    with pytest.raises(ValueError, match="between 1 and 6"):
        spread(6, keep)


def test_all_layers_give_an_equal_copy(model):
    state = torch.get_rng_state()
    copy = select_layers(model, range(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(_logits(copy), _logits(model))
    with torch.no_grad():
        next(copy.parameters()).zero_()
    assert not np.array_equal(_logits(copy), _logits(model))


def test_the_chosen_layers_are_the_ones_that_run(model):
    expected = _logits(select_layers(select_layers(model, [0, 2, 3]), [0, 2]))
    student = select_layers(model, [0, 3])
    assert (layer_count(model), layer_count(student)) == (4, 2)
    assert student.config.num_hidden_layers == 2
    assert np.array_equal(_logits(student), expected)
    assert not np.array_equal(_logits(student), _logits(select_layers(model, [0, 1])))


def test_a_student_comes_back_bit_equal(model, tokenizer, labels, tmp_path):
    student = select_layers(model, [0, 3])
    huggingface.save(student, tokenizer, tmp_path, "ner", labels, 64)
    assert np.array_equal(load(tmp_path, device="cpu").logits(BATCH), _logits(student))


@pytest.mark.parametrize("layers", [[], [3, 0], [0, 0], [0, 4], [-1, 0]])
def test_layers_that_make_no_sense_are_refused(family_config, layers):
    model = transformers.BertForTokenClassification(family_config("bert"))
    with pytest.raises(ModelError, match="rising layer indices between 0 and 3"):
        select_layers(model, layers)


def test_training_mode_is_kept(family_config):
    model = transformers.BertForTokenClassification(family_config("bert")).train()
    assert select_layers(model, [0]).training
