"""Charts of a study, Optuna's own where it has them, as plain data for Plotly."""

from stagetree.search.figures.page import Drawn, figures

__all__ = ["Drawn", "figures"]
