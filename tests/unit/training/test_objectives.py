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
