"""Which layer of a teacher each layer of a student is compared with."""

from __future__ import annotations

from stagetree.core.errors import ModelError
from stagetree.training.transfer_config import LayerMap, TransferConfig


def matched_layers(config: TransferConfig, student: int, teacher: int) -> list[tuple[int, int]]:
    """Return pairs of a student layer and the teacher layer it is compared with, from 1.

    Args:
        config: Says which.
        student: Number of layers of the student.
        teacher: Number of layers of the teacher.

    Raises:
        ModelError: There are no such layers.

    >>> matched_layers(TransferConfig(), 2, 6)
    [(1, 3), (2, 6)]
    >>> matched_layers(TransferConfig(layers=LayerMap.last), 2, 6)
    [(1, 5), (2, 6)]
    >>> matched_layers(TransferConfig(pairs=[0, 4]), 2, 6)
    [(2, 4)]
    """
    chosen = list(config.pairs)
    if chosen:
        if len(chosen) != student or max(chosen) > teacher:
            raise ModelError(
                f"expected transfer.pairs to name one of the teacher's {teacher} layers for each "
                f"of the student's {student} but got {chosen}"
            )
    elif config.layers is LayerMap.uniform:
        chosen = [
            max(1, (2 * layer * teacher + student) // (2 * student))
            for layer in range(1, student + 1)
        ]
    elif student > teacher:
        raise ModelError(
            f"expected a student of at most {teacher} layers, as the teacher has, for "
            f"transfer.layers=last but got {student}; use uniform"
        )
    else:
        chosen = [teacher - student + layer for layer in range(1, student + 1)]
    return [(ours, theirs) for ours, theirs in enumerate(chosen, start=1) if theirs]
