import subprocess
import sys

import numpy as np
import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.models import huggingface, multitask
from stagetree.models.load import load
from stagetree.models.measure import measure
from stagetree.models.multitask import Head
from stagetree.models.student import layer_count, select_layers

IDS = [[2, 9, 10, 11, 3], [2, 12, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
HEADS = [
    Head("tags", "ner", "AutoModelForTokenClassification", ["O", "B-X", "I-X"]),
    Head("mood", "classification", "AutoModelForSequenceClassification", ["bad", "good"]),
]
JOINT = ["tags/O", "tags/B-X", "tags/I-X", "mood/bad", "mood/good"]
PROGRAM = f"""
import sys
import numpy as np
import torch
from stagetree.models.load import load
torch.set_num_threads(1)
runner = load(sys.argv[1], device="cpu")
batch = dict(input_ids=np.array({IDS}), attention_mask=np.array({MASK}))
for head in (0, 1):
    np.save(f"{{sys.argv[2]}}/{{head}}.npy", runner.logits(dict(batch, head=np.full(2, head))))
"""


def batch(**extra):
    return {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK), **extra}


@pytest.fixture
def model(config):
    return multitask.build(config, HEADS, seed=1)


@pytest.fixture
def directory(model, tokenizer, tmp_path):
    place = tmp_path / "several"
    place.mkdir()
    huggingface.save(model, tokenizer, place, "multitask", JOINT, 64)
    return place


def test_logits_are_bit_equal_in_a_new_process(model, directory, tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(directory), str(tmp_path)], check=True)
    for head in (0, 1):
        with torch.inference_mode():
            logits = model(**batch(head=torch.full((2,), head))).logits.numpy()
        assert np.array_equal(np.load(tmp_path / f"{head}.npy"), logits)


def test_equal_arguments_give_equal_weights_and_leave_the_random_state_alone(config, model):
    before = torch.get_rng_state()
    again = multitask.build(config, HEADS, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_the_encoder_is_kept_once(model, directory):
    single = model.single("mood")
    heads = sum(weight.numel() for weight in model.heads.parameters())
    assert model.num_parameters() == single.base_model.num_parameters() + heads
    assert heads == (32 * 3 + 3) + (32 * 2 + 2)
    assert load(directory).parameters == model.num_parameters()


@pytest.mark.parametrize(("number", "span"), [(0, slice(0, 3)), (1, slice(3, 5))])
def test_a_head_by_itself_gives_the_same_bits(directory, number, span):
    runner = load(directory, device="cpu")
    joint = runner.logits(batch(head=torch.full((2,), number)))
    alone = runner.head(HEADS[number].name)
    assert (alone.task, list(alone.labels)) == (HEADS[number].task, HEADS[number].labels)
    assert np.array_equal(alone.logits(batch()), joint[..., span])
    others = np.delete(joint, np.arange(5)[span], axis=-1)
    assert (others == multitask.LOWEST).all()


@pytest.mark.parametrize("number", [0, 1])
def test_an_exported_head_is_a_plain_directory(directory, tmp_path, number):
    import transformers

    head = HEADS[number]
    target = tmp_path / "plain" / head.name
    runner = load(directory, device="cpu")
    runner.export(head.name, target)
    expected = runner.head(head.name).logits(batch())
    assert np.array_equal(load(target, device="cpu").logits(batch()), expected)
    assert load(target).labels == head.labels
    loader = getattr(transformers, head.auto_class)
    plain, report = loader.from_pretrained(target, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    with torch.inference_mode():
        assert np.array_equal(plain.eval()(**batch()).logits.numpy(), expected)


def test_the_encoder_learns_from_every_task_and_a_head_from_its_own(model):
    model.train()

    def size(module):
        return sum(float(w.grad.abs().sum()) for w in module.parameters() if w.grad is not None)

    for head in (0, 1):
        model.zero_grad()
        logits = model(**batch(head=torch.full((2,), head))).logits
        logits[logits != multitask.LOWEST].square().sum().backward()
        assert size(model.encoder) > 0
        assert size(model.heads[head]) > 0
        assert size(model.heads[1 - head]) == 0


def test_a_mixed_batch_and_one_without_a_head_are_refused(directory):
    runner = load(directory)
    with pytest.raises(ModelError, match="the number of one of tags, mood"):
        runner.logits(batch())
    with pytest.raises(ModelError, match="a batch of one task"):
        runner.logits(batch(head=torch.tensor([0, 1])))
    with pytest.raises(ModelError, match=r"unknown head 'mod'\. Did you mean 'mood'"):
        runner.head("mod")


def test_it_is_measured_with_one_head(directory):
    costs = measure(directory)
    assert costs["parameters"] == load(directory).parameters
    assert costs["latency_ms"] > 0


def test_reopens_with_another_dropout_and_fewer_layers(model, directory):
    opened, _, manifest = huggingface.open_model(directory, dropout=0.0)
    assert (manifest.form, list(manifest.labels)) == ("multitask", JOINT)
    rates = [m.p for m in opened.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates
    assert not any(rates)
    shallow = select_layers(opened, [0, 3])
    assert layer_count(shallow) == 2
    assert torch.equal(shallow.heads[1].classifier.weight, model.heads[1].classifier.weight)


def test_spoilt_weights_are_named(directory):
    place = directory / multitask.WEIGHTS
    place.write_bytes(bytes(place.stat().st_size))
    with pytest.raises(ModelError, match="was altered: expected sha256"):
        load(directory)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_families_of_encoders_work(family, family_config):
    with torch.random.fork_rng(devices=[]):
        model = multitask.MultitaskModel(multitask.configured(family_config(family), HEADS)).eval()
    for number, head in enumerate(HEADS):
        with torch.inference_mode():
            joint = model(**batch(head=torch.full((2,), number))).logits
            alone = model.single(head.name)(**batch()).logits
        assert torch.equal(joint[joint != multitask.LOWEST], alone.flatten())
