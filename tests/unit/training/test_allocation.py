import numpy as np
import pytest

from stagetree.core.errors import ModelError
from stagetree.models.structure import Structure, keep, structure_of
from stagetree.training.allocation import Allocation, allocate, largest_within, parameters
from stagetree.training.importance import magnitude


def scores(layers=4, parts=64, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.random(parts) for _ in range(layers)]


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 1.0])
def test_the_share_is_met_to_the_nearest_group(share, uniform):
    kept = allocate(scores(), share, 8, uniform)
    counts = [len(layer) for layer in kept]
    assert all(count % 8 == 0 for count in counts)
    slack = 4 * 4 if uniform else 4
    assert abs(sum(counts) - share * 256) <= slack
    assert all(layer == sorted(set(layer)) for layer in kept)


@pytest.mark.parametrize("uniform", [True, False])
def test_every_layer_keeps_its_best_group_whatever_the_share(uniform):
    given = scores()
    kept = allocate(given, 0.001, 8, uniform)
    for values, layer in zip(given, kept, strict=True):
        assert layer == sorted(np.argsort(-values)[:8].tolist())


def test_the_least_important_of_all_go_first():
    given = [np.array([5.0, 5.0, 5.0, 5.0]), np.array([9.0, 0.1, 0.1, 0.1])]
    assert allocate(given, 0.625, 1, uniform=False) == [[0, 1, 2, 3], [0]]
    assert allocate(given, 0.5, 1, uniform=True) == [[0, 1], [0, 1]]


def test_parameters_are_counted_before_anything_is_cut(make_model):
    model = make_model()
    wanted = Structure((1, 2), (24, 40))
    expected = parameters(model, wanted)
    keep(model, [[0], [0, 1]], [range(24), range(40)])
    assert structure_of(model) == wanted
    assert parameters(model) == expected


def test_a_target_is_met_from_below_and_nearly(make_model):
    model = make_model()
    plans = Allocation(magnitude(model)).plans()
    whole = parameters(model)

    def cost(plan):
        return parameters(model, plan.structure) / whole

    assert cost(plans[0]) == 1.0
    for target in (0.45, 0.7, 1.0):
        found = cost(largest_within(plans, cost, target, "parameters"))
        assert found <= target
        assert not any(found < cost(plan) <= target for plan in plans)
    with pytest.raises(ModelError, match=r"parameters=0.01 cannot be met .* reached is 0\.\d{3}"):
        largest_within(plans, cost, 0.01, "parameters")
