"""Values as short as they can be read."""

from __future__ import annotations

import re


def short(value: object) -> str:
    """Return a hyperparameter as short as it can be without becoming another one to the eye.

    >>> short(0.0003), short(0.00012345), short(2.9999999999e-05), short(2.0), short(True)
    ('0.0003', '1.234e-4', '3e-5', '2', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "[" + ",".join(short(item) for item in value) + "]"
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.4g}"
    if abs(value) < 1 and len(text) > 8:
        text = re.sub(r"\.?0*e", "e", f"{value:.3e}")
    return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), text)
