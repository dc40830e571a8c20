"""Rounded linear layers compute as their int8 forms do."""

import numpy as np
import pytest
import torch
from torch import nn

from stagetree.models import fake_quant


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_prepared_layer_computes_what_onnx_runtime_computes_in_int8(per_channel, tmp_path):
    from stagetree.models import onnx
    from stagetree.models.forms.onnx import session

    torch.manual_seed(0)
    layer, values = nn.Linear(32, 48), torch.randn(4, 32)
    with torch.no_grad():
        layer.weight[3] *= 20.0
    exact = layer(values).detach().numpy()
    plain, small = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    torch.onnx.export(
        layer, (values,), plain, input_names=["x"], output_names=["logits"], dynamo=False
    )
    onnx.quantize(plain, small, per_channel=per_channel)
    expected = session(small, 1).run(None, {"x": values.numpy()})[0]
    fake_quant.prepare(layer, per_channel)
    found = layer(values).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.abs(exact - expected).max() > 20 * np.abs(found - expected).max()


def test_gradients_pass_straight_through():
    torch.manual_seed(0)
    layer, values = nn.Linear(8, 4), torch.randn(3, 8, requires_grad=True)
    fake_quant.prepare(layer, True)
    layer(values).sum().backward()
    torch.testing.assert_close(
        layer.weight.grad, fake_quant.rounded_input(values).sum(0).expand(4, 8)
    )
    torch.testing.assert_close(
        values.grad, fake_quant.rounded_weight(layer.weight, True).sum(0).expand(3, 8)
    )


def test_rounding_knows_zero_and_constants():
    assert not fake_quant.rounded_weight(torch.zeros(2, 3), True).any()
    assert not fake_quant.rounded_input(torch.zeros(2, 3)).any()
    ones = torch.ones(2, 3)
    torch.testing.assert_close(fake_quant.rounded_input(ones), ones)
    torch.testing.assert_close(fake_quant.rounded_input(-ones), -ones)


def test_a_prepared_model_keeps_its_names_and_weights():
    model = nn.Sequential(nn.Linear(4, 4), nn.Embedding(3, 4), nn.Sequential(nn.Linear(4, 2)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fake_quant.prepare(model, False)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert type(model[2][0]) is fake_quant.FakeQuantLinear
