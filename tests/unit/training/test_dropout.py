import torch
from torch.nn import functional

from stagetree.training.dropout import FastDropout


def test_drops_the_share_asked_for_and_keeps_the_mean():
    ones = torch.ones(1_000_000)
    with FastDropout(0):
        dropped = functional.dropout(ones, 0.3)
    assert abs(float((dropped == 0).float().mean()) - 0.3) < 0.003
    assert abs(float(dropped.mean()) - 1) < 0.003
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}


def test_gradient_flows_through_the_same_mask():
    ones = torch.ones(100, requires_grad=True)
    with FastDropout(0):
        dropped = functional.dropout(ones, 0.5)
    dropped.sum().backward()
    assert torch.equal(ones.grad, dropped.detach())


def test_nothing_is_dropped_outside_training():
    ones = torch.ones(100)
    with FastDropout(0):
        assert torch.equal(functional.dropout(ones, 0.5, training=False), ones)
        assert torch.equal(functional.dropout(ones, 0.0), ones)


def test_attention_is_that_of_torch_but_for_dropout():
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8, generator=generator)
    bias = torch.randn(2, 1, 7, 7, generator=generator)
    for mask in (None, bias, bias > -1):
        with FastDropout(0):
            ours = functional.scaled_dot_product_attention(query, key, value, mask, dropout_p=1e-9)
        torchs = functional.scaled_dot_product_attention(query, key, value, mask)
        assert torch.allclose(ours, torchs, atol=1e-5)


def test_state_repeats_the_masks():
    ones, masks = torch.ones(999), FastDropout(3)
    with masks:
        functional.dropout(ones)
        state = masks.state()
        first = functional.dropout(ones)
        masks.restore(state)
        assert torch.equal(functional.dropout(ones), first)
        assert not torch.equal(functional.dropout(ones), first)
