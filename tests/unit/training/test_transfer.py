import math
from typing import ClassVar

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, DistilBertConfig
from transformers import DistilBertForTokenClassification as Distil

from stagetree.core.errors import ModelError
from stagetree.training.layer_map import matched_layers
from stagetree.training.objectives import CrossEntropy
from stagetree.training.transfer import Transfer
from stagetree.training.transfer_config import AttentionForm, LayerMap, TransferConfig, faults
from stagetree.training.transfer_losses import attention_scores

EVERYTHING = {"hidden": 1.0, "embedding": 0.5, "attention": 1.0, "relation": 2.0}


class Nothing:
    asks: ClassVar[dict[str, bool]] = {}

    def __call__(self, outputs, labels, batch):
        return torch.zeros(())


@pytest.fixture
def make_bert():
    def make(width=16, heads=2, layers=4, seed=0, dropout=0.0):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=64,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.2,
            num_labels=3,
        )
        return BertForTokenClassification(config)

    return make


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(4, 64, (3, 9), generator=generator)
    lengths = torch.tensor([9, 4, 6])
    mask = (torch.arange(9) < lengths[:, None]).long()
    labels = torch.where(mask.bool(), 1, -100)
    labels[:, 0] = -100
    return {"input_ids": ids * mask, "attention_mask": mask}, labels


def loss(student, teacher, batch, **options):
    inputs, labels = batch
    transfer = Transfer(Nothing(), student, teacher, TransferConfig(**options), seed=1)
    with transfer.joined(student):
        outputs = student(**inputs, **transfer.asks)
        return transfer(outputs, labels, inputs)


def inside(model, inputs):
    """Return hidden states, and (query, key, value) of every layer."""
    seen = []
    hooks = [
        getattr(layer.attention.self, name).register_forward_hook(
            lambda module, args, output: seen.append(output.detach())
        )
        for layer in model.bert.encoder.layer
        for name in ("query", "key", "value")
    ]
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    return states, [seen[place : place + 3] for place in range(0, len(seen), 3)]


def heads_of(values, count, row, length):
    return values[row, :length].view(length, count, -1).transpose(0, 1)


def relation(one, other, count, row, length):
    left, right = heads_of(one, count, row, length), heads_of(other, count, row, length)
    return left @ right.transpose(1, 2) / math.sqrt(left.shape[-1])


@pytest.mark.parametrize("form", list(AttentionForm))
def test_a_student_that_is_the_teacher_has_nothing_to_learn_inside(make_bert, batch, form):
    options = {**EVERYTHING, "form": form, "relations": ["query", "key", "value", "attention"]}
    assert loss(make_bert(), make_bert(), batch, **options).item() == pytest.approx(0, abs=1e-9)
    assert loss(make_bert(), make_bert(seed=1), batch, **options).item() > 0.1


def test_hidden_states_differ_by_the_formula(make_bert, batch):
    student, teacher = make_bert(layers=2, seed=1), make_bert()
    (ours, _), (theirs, _) = inside(student, batch[0]), inside(teacher, batch[0])
    expected = 0.0
    for row, length in enumerate((9, 4, 6)):
        for m, n in ((1, 2), (2, 4)):
            difference = (ours[m][row, :length] - theirs[n][row, :length]).square().mean()
            expected += (length - 1) * 3.0 * difference.item() / 2
        difference = (ours[0][row, :length] - theirs[0][row, :length]).square().mean()
        expected += (length - 1) * 2.0 * difference.item()
    found = loss(student, teacher, batch, hidden=3.0, embedding=2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", list(AttentionForm))
def test_attention_differs_by_the_formula(make_bert, batch, form):
    student, teacher = make_bert(layers=2, seed=1), make_bert()
    (_, ours), (_, theirs) = inside(student, batch[0]), inside(teacher, batch[0])
    expected = 0.0
    for row, length in enumerate((9, 4, 6)):
        for m, n in ((0, 2), (1, 3)):
            scores = [relation(q, k, 2, row, length) for q, k, _ in (ours[m], theirs[n])]
            if form is AttentionForm.probabilities:
                scores = [score.softmax(-1) for score in scores]
            expected += (length - 1) * (scores[0] - scores[1]).square().mean().item() / 2
    found = loss(student, teacher, batch, attention=1.0, layers=LayerMap.last, form=form)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_relations_differ_by_the_formula_whatever_widths_and_heads(make_bert, batch):
    student, teacher = make_bert(width=24, heads=3, layers=2, seed=1), make_bert()
    (_, ours), (_, theirs) = inside(student, batch[0]), inside(teacher, batch[0])
    expected = 0.0
    for row, length in enumerate((9, 4, 6)):
        for first, second in ((0, 1), (2, 2)):
            p, q = (
                relation(layer[first], layer[second], 4, row, length).softmax(-1)
                for layer in (theirs[2], ours[-1])
            )
            expected += (length - 1) * 0.5 * (p * (p / q).log()).sum(-1).mean().item()
    options = {"relations": ["attention", "value"], "relation_heads": 4, "relation_layer": 3}
    found = loss(student, teacher, batch, relation=0.5, **options)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_scores_are_what_the_model_attends_with(make_bert, batch):
    model = make_bert()
    model.set_attn_implementation("eager")
    model.eval()
    _, parts = inside(model, batch[0])
    with torch.no_grad():
        attended = model(**batch[0], output_attentions=True).attentions
    for (query, key, _), found in zip(parts, attended, strict=True):
        assert torch.allclose(attention_scores(query, key, 2)[0].softmax(-1), found[0], atol=1e-6)


def test_gradients_reach_the_student_and_not_the_teacher(make_bert, batch):
    student, teacher = make_bert(width=24, heads=2, seed=1), make_bert()
    loss(student, teacher, batch, **{**EVERYTHING, "relation_heads": 2}).backward()
    assert student.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in teacher.parameters())


def test_another_family_can_teach(make_bert, batch):
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=64, dim=16, n_layers=3, n_heads=2, hidden_dim=32)
    assert torch.isfinite(loss(make_bert(width=32), Distil(config), batch, **EVERYTHING))


def test_layers_are_matched_from_the_top(make_bert):
    assert matched_layers(TransferConfig(), 4, 12) == [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert matched_layers(TransferConfig(), 3, 2) == [(1, 1), (2, 1), (3, 2)]
    with pytest.raises(ModelError, match="at most 2 layers"):
        matched_layers(TransferConfig(layers=LayerMap.last), 3, 2)
    with pytest.raises(ModelError, match=r"transfer.pairs .* teacher's 2 layers"):
        matched_layers(TransferConfig(pairs=[1, 3]), 2, 2)


def test_what_cannot_be_compared_is_refused(make_bert, batch):
    with pytest.raises(ModelError, match="equal numbers of heads"):
        loss(make_bert(heads=4), make_bert(), batch, attention=1.0)
    with pytest.raises(ModelError, match="relation_heads to divide the student's width 24"):
        loss(make_bert(width=24), make_bert(), batch, relation=1.0, relation_heads=16)
    with pytest.raises(ModelError, match="relation_layer of at most 4"):
        loss(make_bert(), make_bert(), batch, relation=1.0, relation_layer=5)


def test_faults_are_found_without_a_model():
    config = TransferConfig(hidden=-1.0, pairs=[0, 0], relations=["valeu"], relation_heads=-1)
    found = {fault.path: fault.message for fault in faults(config)}
    assert set(found) == {"hidden", "pairs", "relations", "relation_heads"}
    assert "Did you mean 'value'" in found["relations"]
    assert list(faults(TransferConfig(**EVERYTHING))) == []


def transferring(make_model, make_bert):
    student = make_model()
    teacher = make_bert(width=16, heads=2, seed=7)
    config = TransferConfig(**EVERYTHING)
    return student, Transfer(CrossEntropy(), student, teacher, config, seed=5)


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def test_resume_with_projections_is_exact(make_model, make_bert, heard, run, weights, difference):
    options = {"epochs": 2.0, "evaluations": 4, "micro_batch_size": 4}
    whole, objective = transferring(make_model, make_bert)
    run(whole, heard("whole"), objective, **options)

    def kill(fraction):
        if fraction == 0.5:
            raise Killed

    cut, objective = transferring(make_model, make_bert)
    with pytest.raises(Killed):
        run(cut, heard("cut", interrupt=kill), objective, **options)
    torch.manual_seed(99)
    resumed, objective = transferring(make_model, make_bert)
    run(resumed, heard("cut"), objective, **options)
    assert difference(weights(whole), weights(resumed)) == 0.0
    assert weights(whole).keys() == weights(make_model()).keys()
    plain = make_model()
    run(plain, heard("plain"), **options)
    assert difference(weights(whole), weights(plain)) > 0.0


def test_projections_are_learnt(make_model, make_bert, heard, run):
    student, objective = transferring(make_model, make_bert)
    with objective.joined(student):
        [before] = [
            weight.detach().clone()
            for name, weight in student.named_parameters()
            if "transfer" in name and "hidden" in name
        ]
    run(student, heard(), objective)
    with objective.joined(student):
        [after] = [w for n, w in student.named_parameters() if "transfer" in n and "hidden" in n]
    assert (after - before).abs().max() > 1e-4
    assert not any("transfer" in name for name, _ in student.named_parameters())


def test_micro_batches_change_nothing_but_rounding(
    make_model, make_bert, heard, run, weights, difference
):
    ends = []
    for micro in (0, 2):
        student = make_model(dropout=0.0)
        teacher = make_bert(width=16, heads=2, seed=7)
        objective = Transfer(CrossEntropy(), student, teacher, TransferConfig(**EVERYTHING), 5)
        run(student, heard(f"m{micro}"), objective, micro_batch_size=micro, epochs=1)
        ends.append(weights(student))
    assert difference(ends[0], ends[1]) < 1e-4


def test_computes_in_the_numerics_of_the_stage(make_model, make_bert, heard, run):
    losses = []
    for arithmetic in ("fp32", "bf16"):
        student, objective = transferring(make_model, make_bert)
        losses.append(run(student, heard(arithmetic, numerics=arithmetic), objective)["loss"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.1)
