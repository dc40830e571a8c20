"""What can be said about data in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class DataConfig:
    """Options every data source understands.

    Attributes:
        kind: Registered name of the source: ``pii``, ``sentiment``, ``files``, ``hub``,
            ``multitask``.
        max_train: Use only this many training examples (the first ones after a seeded shuffle).
        max_validation: The same for the validation split.
        max_test: The same for the test split.
        split: Shares of train, validation and test where the source has no split of its own.
        split_seed: Seed of that split and of the shuffles above.
    """

    kind: str = MISSING
    max_train: int | None = None
    max_validation: int | None = None
    max_test: int | None = None
    split: list[float] = field(default_factory=lambda: [0.8, 0.1, 0.1])
    split_seed: int = 13
