import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from stagetree.training.evaluation import cross_entropy
from stagetree.training.objectives import CrossEntropy, Distillation

LOGITS = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
OUTPUTS = SimpleNamespace(logits=LOGITS)
LABELS = torch.tensor([[-100, 0, 1, 2, -100, -100]] * 4)
LABELLED = LABELS != -100


def test_cross_entropy_sums_over_labelled_positions():
    expected = functional.cross_entropy(LOGITS[LABELLED], LABELS[LABELLED]) * LABELLED.sum()
    assert CrossEntropy()(OUTPUTS, LABELS, {}).item() == pytest.approx(expected.item(), rel=1e-6)


def test_evaluation_and_training_mean_the_same_loss():
    loss = cross_entropy(list(LOGITS.numpy()), list(LABELS.numpy()))
    summed = CrossEntropy()(OUTPUTS, LABELS, {}).item()
    assert loss == pytest.approx(summed / int(LABELLED.sum()), rel=1e-6)


def test_distillation_is_the_formula():
    teacher = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    loss = Distillation(temperature=3, alpha=0.7)(OUTPUTS, LABELS, {"teacher_logits": teacher})
    expected = 0.0
    for student, taught, gold in zip(LOGITS[LABELLED], teacher, LABELS[LABELLED], strict=True):
        p = np.exp(taught.numpy() / 3) / np.exp(taught.numpy() / 3).sum()
        q = np.exp(student.numpy() / 3) / np.exp(student.numpy() / 3).sum()
        hard = -math.log(np.exp(student.numpy())[gold] / np.exp(student.numpy()).sum())
        expected += 0.7 * 9 * float((p * np.log(p / q)).sum()) + 0.3 * hard
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_student_that_is_the_teacher_has_nothing_left_to_learn_from_it():
    taught = {"teacher_logits": LOGITS[LABELLED]}
    assert Distillation(alpha=1.0)(OUTPUTS, LABELS, taught).item() == pytest.approx(0, abs=1e-5)


def test_smoothing_touches_the_gold_labels_only():
    taught = {"teacher_logits": LOGITS[LABELLED].flip(0)}
    plain, smooth = Distillation(alpha=1.0), Distillation(alpha=1.0, label_smoothing=0.3)
    assert plain(OUTPUTS, LABELS, taught).item() == smooth(OUTPUTS, LABELS, taught).item()


def mixture(weights, *teachers, temperature=2.0):
    total = sum(weights)
    return sum(
        weight / total * functional.softmax(logits / temperature, dim=-1)
        for weight, logits in zip(weights, teachers, strict=True)
    )


def test_several_teachers_are_the_mixture_of_their_softened_answers():
    one, other = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(2))
    batch = {"teacher_logits": torch.stack([one, other], dim=1)}
    loss = Distillation(alpha=1.0, weights=(7.0, 3.0))(OUTPUTS, LABELS, batch)
    target = mixture((0.7, 0.3), one, other)
    student = functional.log_softmax(LOGITS[LABELLED] / 2, dim=-1)
    expected = 4 * (target * (target.log() - student)).sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_teacher_beside_itself_is_as_one():
    taught = torch.randn(12, 3, generator=torch.Generator().manual_seed(3))
    one = Distillation(alpha=0.3)(OUTPUTS, LABELS, {"teacher_logits": taught})
    twice = {"teacher_logits": torch.stack([taught, taught], dim=1)}
    both = Distillation(alpha=0.3, weights=(0.2, 0.8))(OUTPUTS, LABELS, twice)
    assert both.item() == pytest.approx(one.item(), rel=1e-5)


def test_positions_without_gold_have_the_teacher_alone():
    taught = torch.randn(12, 3, generator=torch.Generator().manual_seed(4))
    unknown = torch.where(LABELLED, -101, LABELS)
    half = torch.cat([LABELS[:2], unknown[2:]])
    mixed = Distillation(alpha=0.4, unlabeled=True)
    loss = mixed(OUTPUTS, half, {"teacher_logits": taught})
    first = SimpleNamespace(logits=LOGITS[:2]), SimpleNamespace(logits=LOGITS[2:])
    known = Distillation(alpha=0.4)(first[0], LABELS[:2], {"teacher_logits": taught[:6]})
    alone = Distillation(alpha=1.0)(first[1], LABELS[2:], {"teacher_logits": taught[6:]})
    assert loss.item() == pytest.approx((known + alone).item(), rel=1e-5)
    assert mixed(OUTPUTS, LABELS, {"teacher_logits": taught}).item() == pytest.approx(
        Distillation(alpha=0.4)(OUTPUTS, LABELS, {"teacher_logits": taught}).item(), rel=1e-6
    )
