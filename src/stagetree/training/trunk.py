"""Phases that train only the top of a model, on outputs of its frozen trunk.

While embeddings and lower layers are frozen and drop nothing out, what they make of a row never
changes. It is defined here as what they compute for that row alone, without padding, so that it
depends neither on the batch nor on when it is computed: kept on disk or computed again at every
step, the numbers are the same bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from stagetree.core.signature import digest
from stagetree.training.batches import Rows
from stagetree.training.config import Phase
from stagetree.training.cut import Cut, cuttable
from stagetree.training.freezing import ALL, encoder_layers
from stagetree.training.trunk_rows import TrunkRows

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn
    from transformers import PreTrainedModel

    from stagetree.training.activations import Activations, ActivationStore
    from stagetree.training.batches import Collate

TRAIN, VALIDATION = "train", "validation"
_FILL = 64


class Trunk:
    """What the frozen lower part of a model gives to the upper one, phase by phase.

    Models whose layers cannot be told apart from the rest, models that predict words, and
    losses that ask for more than logits are left to compute all by themselves; only the frozen
    modules stop dropping out.

    Args:
        model: The model.
        splits: Encoded rows by the name of their split.
        collate: Pads rows.
        arithmetic: Resolved numerics.
        whole: Whether the loss looks into the model, so that every layer has to run.
        store: Keeps the outputs; without it they are computed again each time.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        splits: Mapping[str, Dataset],
        collate: Collate,
        arithmetic: str,
        whole: bool,
        store: ActivationStore | None,
    ) -> None:
        self._model = model
        self._splits = splits
        self._collate = collate
        self._arithmetic = arithmetic
        self._cuttable = not whole and cuttable(model)
        self._store = store
        self._rows: dict[str, TrunkRows] = {}
        self._phase: Phase | None = None
        self._cut: Cut | None = None
        self._frozen: list[nn.Module] = []
        self._kept: dict[str, Activations] = {}

    def enter(self, phase: Phase) -> None:
        """Go over to ``phase``, after its weights were frozen; fill what is to be reused."""
        if phase == self._phase:
            return
        self._phase, self._cut, self._frozen, self._kept = phase, None, [], {}
        if phase.layers == ALL or phase.frozen_dropout:
            return
        count = len(encoder_layers(self._model)) - phase.layers
        cut = Cut(self._model, count) if self._cuttable and count > 0 else None
        if cut is None or not cut.frozen() or not self._flat():
            self._frozen = _frozen_modules(self._model)
            return
        self._cut = cut
        if self._store is not None:
            self._fill(cut, self._store)

    @contextlib.contextmanager
    def feeding(
        self, split: str, rows: torch.Tensor | None, inputs: Mapping[str, torch.Tensor]
    ) -> Iterator[None]:
        """Let the model, called with ``inputs`` inside the block, start from the trunk's outputs.

        Args:
            split: The split of the batch.
            rows: Which rows of it are in the batch.
            inputs: The padded batch.
        """
        if self._cut is None or rows is None:
            for module in self._frozen:
                module.eval()
            yield
            return
        mask = inputs["attention_mask"].cpu().numpy().astype(bool)
        ids = inputs["input_ids"].cpu().numpy()
        kept, numbers = self._kept.get(split), rows.tolist()
        if kept is not None and self._rows[split].are(numbers, ids[mask]):
            values: Sequence[np.ndarray] = [kept[number] for number in numbers]
        else:
            values = self._compute(self._cut, inputs)
        with self._cut.fed(values, mask):
            yield

    def _flat(self) -> bool:
        """Return whether every row is one text: not several choices, nor no text at all."""
        for split, rows in self._splits.items():
            if split not in self._rows:
                found = TrunkRows.of(rows)
                if found is None:
                    return False
                self._rows[split] = found
        return True

    def _fill(self, cut: Cut, store: ActivationStore) -> None:
        width = self._model.config.hidden_size
        if not store.fits(sum(rows.tokens for rows in self._rows.values()), width):
            return
        weights = cut.digest(self._arithmetic)
        for split, rows in self._rows.items():
            key = digest({"trunk": weights, "rows": rows.digest})
            outputs = self._outputs(cut, self._splits[split])
            self._kept[split] = store.get(key, rows.lengths, width, outputs)

    def _outputs(self, cut: Cut, split: Dataset) -> Iterator[np.ndarray]:
        rows = Rows(split)
        for start in range(0, len(rows), _FILL):
            chosen = range(start, min(start + _FILL, len(rows)))
            batch = self._collate(rows.__getitems__(chosen))
            batch.pop("labels", None)
            yield from self._compute(cut, batch)

    def _compute(self, cut: Cut, batch: Mapping[str, torch.Tensor]) -> list[np.ndarray]:
        """Return what the trunk makes of each row of a padded batch: (tokens, width) each."""
        device, shape = self._model.device, batch["input_ids"].shape
        inputs = {name: value for name, value in batch.items() if value.shape == shape}
        # A cast weight that autocast kept from here would give the top no gradient.
        arithmetic = torch.autocast(
            device.type, torch.bfloat16, self._arithmetic == "bf16", cache_enabled=False
        )
        outputs = []
        with cut.alone(), torch.no_grad(), arithmetic:
            for place, mask in enumerate(batch["attention_mask"].bool()):
                row = {name: value[place][mask][None].to(device) for name, value in inputs.items()}
                hidden = self._model.base_model(**row).last_hidden_state
                outputs.append(hidden[0].float().cpu().numpy())
        return outputs


def _frozen_modules(model: PreTrainedModel) -> list[nn.Module]:
    """Return the modules of the base model that have weights, none of which trains."""
    weights = [(module, list(module.parameters())) for module in model.base_model.modules()]
    return [
        module for module, own in weights if own and not any(weight.requires_grad for weight in own)
    ]
