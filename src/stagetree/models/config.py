"""What can be said about a pretrained model in a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class ModelConfig:
    """A pretrained model.

    Attributes:
        name: An asset (``minilm_l6``), a local directory, or a Hugging Face hub id.
        revision: Commit or tag on the hub.
        tokenizer: Where the tokenizer comes from when not from ``name``; same forms as ``name``.
        from_scratch: Start from random weights (of the given seed) instead of pretrained ones.
        overrides: Entries of the model's own ``config.json`` to replace, e.g.
            ``{num_hidden_layers: 2}``; with pretrained weights only those that keep shapes.
    """

    name: str = MISSING
    revision: str | None = None
    tokenizer: str | None = None
    from_scratch: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
