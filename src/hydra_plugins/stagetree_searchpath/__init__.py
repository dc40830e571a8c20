"""Lets Hydra read ``experiments/`` and ``sweeps/`` as the groups ``experiment`` and ``sweep``."""
