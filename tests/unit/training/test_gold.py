import math

import numpy as np
import pytest
import torch
from datasets import Dataset

from stagetree.core.errors import ConfigError
from stagetree.training.config import GoldLoss, LossConfig
from stagetree.training.gold import by_rule, focus, gold_loss, weighted
from stagetree.training.objectives import CrossEntropy, Distillation

LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, -100, 0, 0, -100, 1])
WEIGHTS = (0.5, 2.0, 3.0)
ROWS = Dataset.from_dict({"labels": [[-100, 0, 0, 0], [1, 0, -100, 2], [0, 0, 0, 1]]})
NAMES = ["O", "B-X", "I-X"]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [(), WEIGHTS])
def test_is_the_formula(gamma, weights):
    expected = 0.0
    for logits, gold in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        if gold != -100:
            p = math.exp(logits[gold]) / sum(math.exp(value) for value in logits)
            expected += (weights or (1, 1, 1))[gold] * (1 - p) ** gamma * -math.log(p)
    loss = gold_loss(LOGITS, LABELS, gamma=gamma, class_weights=weights)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_certain_predictions_and_ignored_positions_have_finite_gradients(gamma):
    logits = torch.tensor([[200.0, 0, 0], [0, 200.0, 0], [1.0, 2.0, 3.0]], requires_grad=True)
    gold_loss(logits, torch.tensor([0, 0, -100]), gamma=gamma).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[2].abs().max() == 0


def test_focus_is_only_that_of_focal_loss():
    assert focus(LossConfig()) == 0
    assert focus(LossConfig(GoldLoss.focal, 1.5)) == 1.5


@pytest.mark.parametrize("rule", ["balanced", "inverse_sqrt"])
def test_rules_keep_the_size_of_the_loss(rule):
    counts = [70, 25, 5, 0]
    weights = by_rule(rule, counts)
    assert sum(weight * count for weight, count in zip(weights, counts, strict=True)) == (
        pytest.approx(100)
    )
    power = 1 if rule == "balanced" else 0.5
    assert weights[1] / weights[0] == pytest.approx((70 / 25) ** power)
    assert weights[3] == 1


def test_balanced_is_what_scikit_learn_says():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 7 + [1] * 2 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert by_rule("balanced", [7, 2, 1]) == pytest.approx(expected.tolist())


def test_weights_come_from_labelled_positions_of_the_rows():
    found = weighted(CrossEntropy(), LossConfig(class_weights="balanced"), ROWS, NAMES)
    assert found.class_weights == pytest.approx(by_rule("balanced", [7, 2, 1]))
    single = Dataset.from_dict({"labels": [0, 0, 1]})
    found = weighted(Distillation(), LossConfig(class_weights="balanced"), single, ["a", "b"])
    assert found.class_weights == pytest.approx((0.75, 1.5))


def test_weights_by_name():
    found = weighted(CrossEntropy(), LossConfig(class_weights={"B-X": 3}), ROWS, NAMES)
    assert found.class_weights == (1, 3, 1)
    objective = CrossEntropy()
    assert weighted(objective, LossConfig(), ROWS, NAMES) is objective


def test_an_unknown_label_is_named_with_its_nearest():
    with pytest.raises(ConfigError, match=r"loss.class_weights.B-Y.*Did you mean 'B-X'"):
        weighted(CrossEntropy(), LossConfig(class_weights={"B-Y": 2.0}), ROWS, NAMES)


def test_distillation_weighs_its_gold_part_only():
    outputs = type("Outputs", (), {"logits": LOGITS})
    teacher = {"teacher_logits": LOGITS[LABELS != -100].flip(0)}
    plain, focal = Distillation(alpha=1.0), Distillation(1.0, 1.0, 0.0, 2.0, WEIGHTS)
    plain_loss = Distillation(temperature=1.0, alpha=1.0)(outputs, LABELS, teacher)
    assert focal(outputs, LABELS, teacher).item() == plain_loss.item()
    hard = Distillation(alpha=0.0, gamma=2.0, class_weights=WEIGHTS)(outputs, LABELS, teacher)
    assert hard.item() == pytest.approx(gold_loss(LOGITS, LABELS, 0, 2.0, WEIGHTS).item())
    assert plain.alpha == 1
