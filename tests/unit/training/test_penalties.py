import numpy as np
import pytest
import torch
from torch import nn

from stagetree.training.config import TrainingConfig
from stagetree.training.penalties import Penalty, divergence

ONE, OTHER = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[-100, 0, 1, 2, -100]] * 4)


def test_divergence_is_the_formula():
    expected = 0.0
    for one, other in zip(ONE[LABELS != -100], OTHER[LABELS != -100], strict=True):
        p, q = (np.exp(x.double()) / np.exp(x.double()).sum() for x in (one, other))
        expected += float((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()) / 2
    assert divergence(ONE, OTHER, LABELS).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(ONE, ONE, LABELS).item() == 0


def test_penalty_is_the_formula_over_weights():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    penalty = Penalty(model, TrainingConfig(l1=0.1, l2=0.2, l2_start=0.3))
    start = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight += 1
    weight = model[0].weight.detach()
    expected = 0.1 * weight.abs().sum() + 0.1 * (weight**2).sum()
    expected += 0.15 * ((weight - start) ** 2).sum()
    assert penalty().item() == pytest.approx(expected.item(), rel=1e-6)
    penalty().backward()
    assert model[0].bias.grad is None
    assert model[1].weight.grad is None


def test_what_is_frozen_is_not_penalised():
    model = nn.Linear(3, 2)
    penalty = Penalty(model, TrainingConfig(l2=1.0))
    model.requires_grad_(False)
    assert penalty().item() == 0
    assert not Penalty(model, TrainingConfig())


@pytest.mark.parametrize("options", [{"l1": 1e-2}, {"l2": 1e-1}, {"l2_start": 1e-1}])
def test_penalties_count_once_a_step(make_model, heard, run, weights, difference, options):
    one, other, plain = (make_model(dropout=0.0) for _ in range(3))
    shared = {"max_steps": 4, "evaluations": 1, "max_grad_norm": 0.0}
    run(one, heard("whole"), **shared, **options)
    run(other, heard("parts"), **shared, **options, micro_batch_size=2)
    run(plain, heard("plain"), **shared)
    assert difference(weights(one), weights(other)) < 1e-4
    assert difference(weights(one), weights(plain)) > 1e-3


def test_penalties_pull_to_where_they_say(make_model, heard, run):
    def norm(**options):
        model = make_model(dropout=0.0)
        start = [weight.detach().clone() for weight in model.parameters()]
        run(model, heard(str(options)), evaluations=1, **options)
        pairs = zip(model.parameters(), start, strict=True)
        apart = sum(float((weight.detach() - before).square().sum()) for weight, before in pairs)
        return sum(float(weight.detach().square().sum()) for weight in model.parameters()), apart

    plain, small, near = norm(), norm(l2=1e-2), norm(l2_start=1e-1)
    assert small[0] < plain[0]
    assert near[1] < plain[1]


def test_r_drop_trains_reproducibly_and_otherwise(make_model, heard, run, weights, difference):
    trained = []
    for name, options in (("a", {"r_drop": 1.0}), ("b", {"r_drop": 1.0}), ("c", {})):
        model = make_model()
        run(model, heard(name), max_steps=5, evaluations=1, **options)
        trained.append(weights(model))
    assert difference(trained[0], trained[1]) == 0
    assert difference(trained[0], trained[2]) > 1e-4
