"""stagetree: hyperparameter search over pipelines of language-model stages."""

from stagetree.core.reporting import current_trial, report

__all__ = ["current_trial", "report"]
__version__ = "0.1.0"
