"""Numbers as a person wants to read them."""

from __future__ import annotations

import math

from stagetree.core.numbers import short


def score(value: float | None) -> str:
    """Return a metric with four decimals where they mean something.

    >>> score(0.81234), score(123456.7), score(12.345), score(None), score(float("nan"))
    ('0.8123', '1.235e5', '12.35', '', 'nan')
    """
    if value is None:
        return ""
    if not math.isfinite(value) or abs(value) >= 1 or abs(value) < 1e-3:
        return short(float(value))
    return f"{value:.4f}"


def duration(seconds: float) -> str:
    """Return a time in one or two units.

    >>> duration(0.034), duration(12.34), duration(125), duration(3725), duration(200000)
    ('0.03 s', '12.3 s', '2 min 05 s', '1 h 02 min', '2 d 07 h')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 1 or seconds == 0 else f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def count(number: float | None) -> str:
    """Return a count with a unit of magnitude.

    >>> count(22713216), count(1500), count(12), count(None)
    ('22.7 M', '1.5 k', '12', '')
    """
    if number is None:
        return ""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def megabytes(size: float | None) -> str:
    """Return bytes in megabytes (10^6 bytes).

    >>> megabytes(90866420), megabytes(4096), megabytes(None)
    ('90.9', '0.004', '')
    """
    if size is None:
        return ""
    return f"{size / 1e6:.1f}" if size >= 1e5 else f"{size / 1e6:.3f}"
