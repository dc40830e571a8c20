import pytest

from stagetree.core.errors import ConfigError
from stagetree.training.config import AdversarialConfig, Attack
from stagetree.training.dropout import FastDropout
from stagetree.training.recompute import Recompute

SHORT = {"max_steps": 5, "evaluations": 1}


@pytest.mark.parametrize("numerics", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "options", [{}, {"r_drop": 1.0, "adversarial": AdversarialConfig(Attack.pgd, 0.2, 2)}]
)
def test_weights_are_equal_bit_for_bit(
    make_model, heard, run, weights, difference, numerics, options
):
    trained = []
    for name, wanted in (("plain", False), ("twice", True)):
        model = make_model(dropout=0.3)
        context = heard(name, numerics=numerics)
        run(model, context, **SHORT, **options, gradient_checkpointing=wanted)
        assert not any(getattr(part, "gradient_checkpointing", 0) for part in model.modules())
        trained.append(weights(model))
    assert difference(*trained) == 0


def test_layers_really_run_twice(make_model, heard, run):
    def passes(name, **options):
        model, seen = make_model(), []
        layer = model.bert.encoder.layer[0].attention.self
        hook = layer.register_forward_hook(lambda *_: seen.append(model.training))
        run(model, heard(name), **SHORT, **options)
        hook.remove()
        return sum(seen)

    assert passes("twice", gradient_checkpointing=True) == 2 * passes("once")


def test_models_that_cannot_are_refused(make_model):
    model = make_model()
    model.supports_gradient_checkpointing = False
    with pytest.raises(ConfigError, match=r"gradient_checkpointing.*BertForTokenClassification"):
        Recompute(model, FastDropout(0), True)
