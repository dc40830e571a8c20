"""Silence for libraries that print while they load, trace or convert a model."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back warnings, log records below errors, and progress bars inside the block.

    Faults are told by exceptions, so nothing is lost. Everything is as before afterwards: the
    root logger too, to which ``logging.warning`` would add a handler. Other threads are
    silenced for the same time.
    """
    root = logging.getLogger()
    placeholder = logging.NullHandler()
    disabled = root.manager.disable
    root.addHandler(placeholder)
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings(), _no_progress_bars():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(placeholder)


@contextlib.contextmanager
def unprinted() -> Iterator[None]:
    """Be :func:`quiet`, and also swallow what Python code prints inside the block."""
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    if "transformers" not in sys.modules:
        yield
        return
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
