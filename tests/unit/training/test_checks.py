import re

import pytest

from stagetree.data.augment.base import AugmentConfig
from stagetree.models.adapter_config import AdapterConfig, AdapterMethod
from stagetree.training.checks import faults
from stagetree.training.config import (
    AdversarialConfig,
    Attack,
    GoldLoss,
    LossConfig,
    Phase,
    Schedule,
    TrainingConfig,
)


def lora(**options):
    return {"adapter": AdapterConfig(AdapterMethod.lora, **options)}


def prefix(**options):
    return {"adapter": AdapterConfig(AdapterMethod.prefix, **options)}


def test_adapters_go_with_rates_by_layer():
    assert faults(TrainingConfig(layer_decay=0.9, **lora())) == []


def test_defaults_are_fine():
    assert faults(TrainingConfig()) == []


@pytest.mark.parametrize(
    ("options", "path", "says"),
    [
        ({"learning_rate": 0.0}, "learning_rate", "above 0 but got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate", "but got nan"),
        ({"epochs": 0}, "epochs", "above 0"),
        ({"batch_size": 16, "micro_batch_size": 6}, "micro_batch_size", "smaller one is 4"),
        ({"label_smoothing": 1.0}, "label_smoothing", r"\[0, 1\)"),
        ({"patience": -1}, "patience", "at least 0 but got -1"),
        ({"evaluations": 0}, "evaluations", "at least 1"),
        ({"layer_decay": 0.0}, "layer_decay", r"\(0, 1\]"),
        ({"data_share": 1.5}, "data_share", r"\(0, 1\] but got 1.5"),
        ({"dropout": 1.0}, "dropout", r"\[0, 1\)"),
        ({"warmup": 1.5}, "warmup", "from 0 to 1"),
        (
            {"schedule": Schedule.warmup_stable_decay, "warmup": 0.5, "decay": 0.6},
            "decay",
            "at most 1 but got 0.5",
        ),
        ({"unfreeze": [Phase(0.5, 1), Phase(0.4, 2), Phase(1)]}, "unfreeze[1].until", "above 0.5"),
        ({"unfreeze": [Phase(0.5, 1)]}, "unfreeze[0].until", "end at 1 but got 0.5"),
        ({"unfreeze": [Phase(1.0, -2)]}, "unfreeze[0].layers", "but got -2"),
        ({"augment": AugmentConfig("mention")}, "augment.method", "mean 'mentions'"),
        ({"augment": AugmentConfig("mentions", copies=0)}, "augment.copies", "at least 1"),
        ({"augment": AugmentConfig("mentions", share=0)}, "augment.share", r"in \(0, 1\]"),
        (lora(rank=0), "adapter.rank", "at least 1 but got 0"),
        (lora(alpha=-1.0), "adapter.alpha", "above 0 but got -1.0"),
        (lora(dropout=1.0), "adapter.dropout", r"\[0, 1\)"),
        (prefix(virtual_tokens=0), "adapter.virtual_tokens", "at least 1 but got 0"),
        (prefix(modules=["query"]), "adapter.modules", "method=prefix, which adapts no maps"),
        ({**lora(), "unfreeze": [Phase(1.0, 1)]}, "unfreeze", "keeps the encoder frozen"),
        (
            {"gradient_checkpointing": True, "unfreeze": [Phase(1.0, 1)]},
            "gradient_checkpointing",
            "expected false beside unfreeze",
        ),
        ({"r_drop": -1.0}, "r_drop", "at least 0 but got -1"),
        ({"r_drop": 1.0, "dropout": 0.0}, "r_drop", "without dropout"),
        ({"l1": -1.0}, "l1", "at least 0"),
        ({"l2_start": float("nan")}, "l2_start", "but got nan"),
        ({"loss": LossConfig(GoldLoss.focal, gamma=-1)}, "loss.gamma", "at least 0 but got -1"),
        ({"loss": LossConfig(class_weights="balance")}, "loss.class_weights", "mean 'balanced'"),
        ({"loss": LossConfig(class_weights=3)}, "loss.class_weights", "by label, but got 3"),
        (
            {"loss": LossConfig(class_weights={"PER": -1})},
            "loss.class_weights.PER",
            "at least 0 but got -1",
        ),
        (
            {"loss": LossConfig(GoldLoss.focal), "label_smoothing": 0.1},
            "label_smoothing",
            "expected 0 beside loss.kind=focal",
        ),
        (
            {"adversarial": AdversarialConfig(Attack.pgd, epsilon=0)},
            "adversarial.epsilon",
            "above 0 but got 0",
        ),
        (
            {"adversarial": AdversarialConfig(Attack.freelb, steps=0)},
            "adversarial.steps",
            "at least 1",
        ),
        (
            {"adversarial": AdversarialConfig(Attack.pgd, step_size=-1)},
            "adversarial.step_size",
            "at least 0",
        ),
    ],
)
def test_faults_say_where_and_what(options, path, says):
    [fault] = faults(TrainingConfig(**options))
    assert fault.path == path
    assert re.search(says, fault.message)


def test_all_faults_come_at_once():
    found = faults(TrainingConfig(learning_rate=-1, warmup=-1, batch_size=0, patience=-3))
    assert {fault.path for fault in found} == {"learning_rate", "warmup", "batch_size", "patience"}


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [fault] = faults(TrainingConfig(augment=AugmentConfig("keyboard")))
    assert fault.path == "augment.method"
    assert "pip install 'stagetree[augment]'" in fault.message
