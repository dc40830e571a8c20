"""One attempt at a trial: the user's function as a Hydra job of its own, and how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.utils import configure_log, run_job
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from stagetree.core.errors import ConfigError, Fault, TrialFailed, TrialPruned
from stagetree.core.lease import LeaseLost
from stagetree.core.reporting import TrialContext, trial_context
from stagetree.search import infeasible
from stagetree.search.notes import CRASHED, FAILED, INFEASIBLE
from stagetree.search.patient_storage import StorageAwayError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.types import HydraContext, TaskFunction

    from stagetree.search.composer import Composer


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: ``complete``, ``pruned``, ``failed`` (for good), ``infeasible`` (does not fit in
            memory), ``crashed`` (worth another attempt) or ``lost`` (another worker has the
            trial now, or the storage does not answer).
        values: The objective values of a complete one.
        metrics: What else the app returned, when it returned a mapping.
        error: Last line of the error.
        trace: The whole traceback.
        directory: The job's own directory.
    """

    state: str
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    directory: str = ""


@dataclass(frozen=True)
class App:
    """A Hydra app as its sweeper knows it.

    Attributes:
        task: The user's function.
        context: Hydra's config loader and callbacks.
        config: The composed configuration of the sweep.
    """

    task: TaskFunction
    context: HydraContext
    config: DictConfig

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the configuration of a trial.

        Raises:
            HydraException: The overrides do not fit the app.
        """
        loader: ConfigLoader = self.context.config_loader
        return loader.load_sweep_config(self.config, list(overrides))


def attempt(
    app: App,
    composer: Composer,
    overrides: Sequence[str],
    *,
    trial: TrialContext,
    metrics: Sequence[str],
    objectives: int,
) -> Outcome:
    """Run one trial as a real Hydra job: own directory, ``.hydra`` snapshot, callbacks.

    Whatever ``Exception`` the app raises becomes an outcome; an interruption passes through.

    Args:
        app: The app.
        composer: Composes the app's configurations.
        overrides: The trial's own overrides.
        trial: What the app's reports go to.
        metrics: The objectives, should the app return a mapping.
        objectives: How many values the study wants.
    """
    outcomes: list[Outcome] = []

    def task(cfg: DictConfig) -> Any:
        try:
            with trial_context(trial):
                returned = app.task(cfg)
            outcomes.append(_complete(returned, metrics, objectives))
        except (TrialPruned, optuna.TrialPruned):
            outcomes.append(Outcome("pruned"))
            return None
        except SystemExit as error:
            outcomes.append(_ended(CRASHED, error))
            raise RuntimeError(f"the app called sys.exit({error.code!r})") from error
        except Exception as error:
            outcomes.append(_ended(_state(error), error))
            raise
        return returned

    try:
        config = composer.compose(overrides)
        with _quiet(app.config, config, trial.number):
            run_job(
                task_function=task,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
                hydra_context=app.context,
            )
    except Exception as error:  # noqa: BLE001 - the set-up or a callback failed: an outcome, too
        return outcomes[0] if outcomes else _ended(_state(error), error)
    return dataclasses.replace(outcomes[0], directory=str(config.hydra.runtime.output_dir))


def _complete(returned: Any, metrics: Sequence[str], objectives: int) -> Outcome:
    """Return the outcome of a run that returned.

    Raises:
        ConfigError: What it returned is not the number, or numbers, of the study.
        TrialFailed: A number is not finite.
    """
    named = dict(returned) if isinstance(returned, Mapping) else {}
    found: Any = [named.get(name) for name in metrics] if named and metrics else returned
    items = list(found) if isinstance(found, list | tuple) else [found]
    try:
        values = tuple(float(item) for item in items)
    except (TypeError, ValueError):
        values = ()
    if len(values) != objectives:
        wanted = "a number" if objectives == 1 else f"{objectives} numbers"
        raise ConfigError([Fault("", f"expected the app to return {wanted} but got {returned!r}")])
    if not all(math.isfinite(value) for value in values):
        shown = ", ".join(str(value) for value in values)
        raise TrialFailed(f"expected a finite objective but got {shown}")
    return Outcome("complete", values, named)


def _state(error: BaseException) -> str:
    """Return whether an error ends the trial or is worth another attempt."""
    if isinstance(error, LeaseLost | StorageAwayError):
        return "lost"
    if infeasible.is_out_of_memory(error):
        return INFEASIBLE
    final = (TrialFailed, ConfigError, HydraException, OmegaConfBaseException)
    return FAILED if isinstance(error, final) else CRASHED


def _ended(state: str, error: BaseException) -> Outcome:
    trace = "".join(traceback.format_exception(error))
    last = traceback.format_exception_only(error)[-1].strip().splitlines()
    return Outcome(state, error=last[-1] if last else type(error).__name__, trace=trace)


@contextlib.contextmanager
def _quiet(sweep: DictConfig, config: DictConfig, number: int) -> Iterator[None]:
    """Number the job and keep its log out of the terminal, except for warnings."""
    with open_dict(config):
        config.hydra.job.num = number
        config.hydra.job.id = str(number)
        if OmegaConf.select(config, "hydra.job_logging.handlers.console") is not None:
            config.hydra.job_logging.handlers.console.level = "WARNING"
    try:
        yield
    finally:
        configure_log(sweep.hydra.hydra_logging, sweep.hydra.verbose)
