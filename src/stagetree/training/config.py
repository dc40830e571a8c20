"""What can be said about training in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from stagetree.models.adapter_config import AdapterConfig


class Schedule(Enum):
    """How the learning rate moves after warm-up."""

    linear = "linear"
    cosine = "cosine"
    constant = "constant"
    warmup_stable_decay = "warmup_stable_decay"


@dataclass
class Phase:
    """One phase of gradual unfreezing.

    Attributes:
        until: The phase ends at this fraction (0..1] of the training steps.
        layers: How many of the top encoder layers train; the head always does. ``-1`` is all
            of them and the embeddings.
        frozen_dropout: Whether frozen layers still drop out. By default they compute as they do
            in evaluation, so that their outputs can be reused.
    """

    until: float = 1.0
    layers: int = -1
    frozen_dropout: bool = False


@dataclass
class TrainingConfig:
    """Options of every stage that trains with gradients.

    Attributes:
        learning_rate: Peak learning rate of the head and the top layer.
        epochs: Passes over the training data; fractions are allowed.
        max_steps: Stop after this many optimiser steps, whatever ``epochs`` says; 0 is no limit.
        batch_size: Examples an optimiser step.
        micro_batch_size: Examples a forward pass; 0 means ``batch_size``. Must divide it.
        schedule: How the learning rate moves after warm-up.
        warmup: Fraction of the steps over which the rate rises from 0.
        decay: Fraction of the steps over which ``warmup_stable_decay`` falls to 0.
        weight_decay: Decoupled weight decay of AdamW (not on biases and norms).
        adam_beta1: First AdamW coefficient.
        adam_beta2: Second AdamW coefficient.
        adam_epsilon: AdamW's epsilon.
        max_grad_norm: Gradients are clipped to this norm; 0 does not clip.
        label_smoothing: Share of the target spread over all labels.
        dropout: Replaces every dropout probability of the model's config when given.
        layer_decay: Learning rate of each layer relative to the layer above it, in (0, 1].
        unfreeze: Phases of gradual unfreezing; empty trains everything from the start.
        reuse: Whether outputs of frozen layers are computed once a row and kept on disk while
            they stay frozen; without it they are computed again each time, to the same numbers.
        reuse_gb: Most that outputs of frozen layers may take on disk, of all trials together;
            never more than half of what is free. A phase that needs more does without.
        adapter: Few trainable weights instead of all.
        evaluations: How often in the stage the validation split is scored, evenly spaced.
        patience: Stop after this many evaluations without a new best; 0 never stops early.
        max_length: Longest input in sub-words, special tokens included.
        eval_batch_size: Examples a forward pass in evaluation.
    """

    learning_rate: float = 3e-4
    epochs: float = 3.0
    max_steps: int = 0
    batch_size: int = 16
    micro_batch_size: int = field(default=0, metadata={"affects_result": False})
    schedule: Schedule = Schedule.linear
    warmup: float = 0.1
    decay: float = 0.2
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.0
    dropout: float | None = None
    layer_decay: float = 1.0
    unfreeze: list[Phase] = field(default_factory=list)
    reuse: bool = field(default=True, metadata={"affects_result": False})
    reuse_gb: float = field(default=4.0, metadata={"affects_result": False})
    adapter: AdapterConfig = field(
        default_factory=AdapterConfig, metadata={"neutral": AdapterConfig()}
    )
    evaluations: int = 5
    patience: int = 0
    max_length: int = 128
    eval_batch_size: int = field(default=64, metadata={"affects_result": False})
