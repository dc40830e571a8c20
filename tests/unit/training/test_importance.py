import numpy as np
import pytest
import torch

from stagetree.models.structure import blocks
from stagetree.training.importance import magnitude, taylor
from stagetree.training.objectives import CrossEntropy


@pytest.fixture
def batches(task, tokenizer, train_rows):
    collate = task.collator(tokenizer)
    return [collate([train_rows[i] for i in range(start, start + 8)]) for start in (0, 8, 16)]


def both(model, batches):
    return [magnitude(model), taylor(model, batches, CrossEntropy())]


def test_a_useless_head_and_a_useless_unit_matter_least(make_model, batches):
    model = make_model()
    block = blocks(model)[1]
    with torch.no_grad():
        for layer in block.inputs:
            layer.weight[16:] *= 1e-3
        block.output.weight[:, 16:] = 0
        block.up.weight[5] *= 1e-3
        block.down.weight[:, 5] = 0
    for found in both(model, batches):
        assert np.argmin(np.concatenate(found.heads)) == 3
        assert np.argmin(np.concatenate(found.units)) == 64 + 5


def test_a_layer_that_adds_nothing_matters_least(make_model, batches):
    model = make_model(layers=3)
    block = blocks(model)[1]
    with torch.no_grad():
        for layer in (block.output, block.down):
            layer.weight.mul_(1e-3)
            layer.bias.zero_()
    found = taylor(model, batches, CrossEntropy())
    assert np.argmin(found.layers) == 1


def test_taylor_is_activation_times_gradient_summed_over_positions(make_model, batches):
    """A gate on a head has the very gradient that is summed."""
    model, batch = make_model().eval(), batches[0]
    block = blocks(model)[0]
    gates = torch.ones(8, 2, requires_grad=True)

    def gate(module, inputs):
        return ((inputs[0].unflatten(-1, (2, -1)) * gates[:, None, :, None]).flatten(-2),)

    handle = block.output.register_forward_pre_hook(gate)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    CrossEntropy()(model(**inputs), batch["labels"], {}).backward()
    handle.remove()
    found = taylor(model, [batch], CrossEntropy())
    np.testing.assert_allclose(found.heads[0], gates.grad.abs().sum(0).numpy(), rtol=1e-3)


def test_the_model_comes_back_as_it_was(make_model, batches, weights, difference):
    model = make_model().train()
    before = weights(model)
    taylor(model, batches, CrossEntropy())
    assert model.training
    assert difference(before, weights(model)) == 0.0
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
