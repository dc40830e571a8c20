"""What can be said about training in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from stagetree.data.augment.base import AugmentConfig
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


class GoldLoss(Enum):
    """How far a prediction is from its gold label.

    Attributes:
        cross_entropy: Minus the log of the gold label's probability.
        focal: The same, less for what is predicted well already (Lin et al. 2017,
            arXiv 1708.02002).
    """

    cross_entropy = "cross_entropy"
    focal = "focal"


@dataclass
class LossConfig:
    """How gold labels are learnt.

    Attributes:
        kind: How far a prediction is from its gold label.
        gamma: Focus of ``focal`` on hard examples; 0 is cross entropy.
        class_weights: ``none``; ``balanced`` (weights like 1 / count) or ``inverse_sqrt``
            (1 / sqrt(count)), with a mean of 1 over the training labels; or weights by label,
            where labels that are not named have weight 1.
    """

    kind: GoldLoss = GoldLoss.cross_entropy
    gamma: float = 2.0
    class_weights: Any = "none"


class Attack(Enum):
    """Which adversary moves the word embeddings.

    Attributes:
        none: None.
        fgm: One step up the gradient (Miyato et al. 2017, arXiv 1605.07725).
        pgd: Several steps, the last one counts (Madry et al. 2018, arXiv 1706.06083).
        freelb: Several steps from a random start, all count (Zhu et al. 2020, arXiv 1909.11764).
    """

    none = "none"
    fgm = "fgm"
    pgd = "pgd"
    freelb = "freelb"


@dataclass
class AdversarialConfig:
    """Training on embeddings moved to where the loss is higher.

    Attributes:
        method: Which adversary.
        epsilon: Largest norm of a row's perturbation, as a share of the norm of its embeddings.
        steps: Gradient steps of ``pgd`` and ``freelb``.
        step_size: Norm of one of them, as a share like ``epsilon``; 0 is ``epsilon / steps``.
    """

    method: Attack = Attack.none
    epsilon: float = 0.1
    steps: int = 3
    step_size: float = 0.0


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
        warmup_steps: Steps over which it does, instead of ``warmup``, whatever the length of
            training; 0 goes by ``warmup``. Runs of other length can only share their first part
            when they warm up over as many steps.
        decay: Fraction of the steps over which ``warmup_stable_decay`` falls to 0.
        weight_decay: Decoupled weight decay of AdamW (not on biases and norms).
        adam_beta1: First AdamW coefficient.
        adam_beta2: Second AdamW coefficient.
        adam_epsilon: AdamW's epsilon.
        max_grad_norm: Gradients are clipped to this norm; 0 does not clip.
        label_smoothing: Share of the target spread over all labels.
        loss: How gold labels are learnt.
        r_drop: Weight of the divergence between two passes that differ in dropout; 0 is one pass.
        l1: Weight of the sum of absolute weights in the loss (not of biases and norms).
        l2: Weight of half the sum of squared weights in the loss, likewise. Unlike
            ``weight_decay`` it goes through AdamW's moments.
        l2_start: Like ``l2`` for the distance from where the stage starts (L2-SP).
        adversarial: Training on embeddings moved to where the loss is higher.
        dropout: Replaces every dropout probability of the model's config when given.
        layer_decay: Learning rate of each layer relative to the layer above it, in (0, 1].
        unfreeze: Phases of gradual unfreezing; empty trains everything from the start.
        reuse: Whether outputs of frozen layers are computed once a row and kept on disk while
            they stay frozen; without it they are computed again each time, to the same numbers.
        reuse_gb: Most that outputs of frozen layers may take on disk, of all trials together;
            never more than half of what is free. A phase that needs more does without.
        adapter: Few trainable weights instead of all.
        evaluations: How often in the stage the validation split is scored, evenly spaced.
        data_share: Share of the training examples that the stage trains on, in (0, 1]; a smaller
            share is part of a larger one.
        evaluate_every: Passes over the training data after which it is scored, and at the end,
            instead of ``evaluations``; 0 goes by ``evaluations``. Runs of other length are then
            scored after the same steps, so that they can share their first part.
        fork: Whether training starts from the furthest stored checkpoint of a run that was the
            same up to there, and leaves such for later runs; the same weights come out, bit for
            bit. Needs a schedule that is constant for a while.
        augment: Further training examples, made of those there are.
        gradient_checkpointing: Compute the layers twice and keep less in memory; the same weights
            come out, bit for bit.
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
    warmup_steps: int = field(default=0, metadata={"neutral": 0})
    decay: float = 0.2
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.0
    loss: LossConfig = field(default_factory=LossConfig, metadata={"neutral": LossConfig()})
    r_drop: float = field(default=0.0, metadata={"neutral": 0.0})
    l1: float = field(default=0.0, metadata={"neutral": 0.0})
    l2: float = field(default=0.0, metadata={"neutral": 0.0})
    l2_start: float = field(default=0.0, metadata={"neutral": 0.0})
    adversarial: AdversarialConfig = field(
        default_factory=AdversarialConfig, metadata={"neutral": AdversarialConfig()}
    )
    dropout: float | None = None
    layer_decay: float = 1.0
    unfreeze: list[Phase] = field(default_factory=list)
    reuse: bool = field(default=True, metadata={"affects_result": False})
    reuse_gb: float = field(default=4.0, metadata={"affects_result": False})
    adapter: AdapterConfig = field(
        default_factory=AdapterConfig, metadata={"neutral": AdapterConfig()}
    )
    evaluations: int = 5
    data_share: float = field(default=1.0, metadata={"neutral": 1.0})
    evaluate_every: float = field(default=0.0, metadata={"neutral": 0.0})
    fork: bool = field(default=True, metadata={"affects_result": False})
    augment: AugmentConfig = field(
        default_factory=AugmentConfig, metadata={"neutral": AugmentConfig()}
    )
    gradient_checkpointing: bool = field(default=False, metadata={"affects_result": False})
    patience: int = 0
    max_length: int = 128
    eval_batch_size: int = field(default=64, metadata={"affects_result": False})
