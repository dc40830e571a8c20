"""The sweeper's work: from a command line to a finished study."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.stagetree_launcher.config import LocalLauncherConf
from hydra_plugins.stagetree_sweeper._console import Console, complain, say
from stagetree.core.errors import ConfigError, StagetreeError
from stagetree.core.interrupt import INTERRUPTED, TERMINATED, Terminated
from stagetree.search import dependence, question, results, storage_url, study, versions
from stagetree.search.attempt import App
from stagetree.search.budget import Budget, evicts, reserved
from stagetree.search.firsts import still_to_run
from stagetree.search.notes import crashed, is_imported
from stagetree.search.plan import SearchPlan
from stagetree.search.reading import read
from stagetree.search.samplers import knows_points, wants_dependence
from stagetree.search.summary import summarise
from stagetree.search.tally import Tally
from stagetree.search.tree_order import Order
from stagetree.search.validate import validate
from stagetree.search.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stagetree.core.trials import TrialRow

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def sweep(
    options: Mapping[str, Any],
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    arguments: Sequence[str],
) -> list[TrialRow]:
    """Run a search; see :meth:`StagetreeSweeper.sweep`."""
    try:
        search = _Search(options, context, task, config, arguments)
        return search.run()
    except ConfigError as error:
        count = "1 fault" if len(error.faults) == 1 else f"{len(error.faults)} faults"
        complain("\n".join([f"{count} in the search:", *(f"  {fault}" for fault in error.faults)]))
        raise SystemExit(2) from error
    except StagetreeError as error:
        complain(f"error: {error}")
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:
        complain("interrupted; the same line again goes on from here")
        raise SystemExit(INTERRUPTED) from error
    except Terminated as error:
        complain("terminated; the same line again goes on from here")
        raise SystemExit(TERMINATED) from error


class _Search:
    """One ``-m`` command line."""

    def __init__(
        self,
        options: Mapping[str, Any],
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
        arguments: Sequence[str],
    ) -> None:
        self.options = options
        self.context = context
        self.line = App(task, context, _without_password(config))
        self.reading = read(self.line, options, arguments)
        app = Path(sys.argv[0]).name
        name = options["study_name"] or question.default_name(self.reading.question, app)
        self._name(name, question.directory(_named(config, name), name))

    def run(self) -> list[TrialRow]:
        """Validate, work, and report.

        Raises:
            SystemExit: 1 when no trial completed or too many failed.
        """
        validate(self.app, self.plan.fixed, self.plan.space, self._check())
        self._open()
        died = self._launch() if self._missing() else []
        for error in died:
            complain(f"a worker died: {type(error).__name__}: {error}")
        trials = self.study.get_trials(deepcopy=False)
        rows = results.rows(self.study)
        self.console.summary(rows, results.front(rows, self.reading.directions))
        self._tell()
        failed = self.plan.too_many(Tally(self.plan.forgiven).count(trials).failures)
        none = all(row.state != "complete" for row in rows)
        if none or failed or (died and self._missing()):
            self._explain_failure(rows)
            raise SystemExit(1)
        if self._missing():
            reason = self.plan.budget.refuses(trials) or "the next one would not fit in the budget"
            complain(f"stopped before the last trial: {reason}")
        return rows

    def _tell(self) -> None:
        """Tell whom the configuration names of the study; a fault there ends no search."""
        path = self.options["finished"]
        if not path:
            return
        try:
            get_method(path)(self.config, summarise(self.study, self.config, _invocation()))
        except Exception as error:  # noqa: BLE001 - the search is done, whatever is made of it
            complain(f"hydra.sweeper.finished={path} failed: {type(error).__name__}: {error}")

    def _name(self, name: str, directory: Path) -> None:
        """Give the search, and every configuration composed in it, its study."""
        self.config = _named(self.line.config, name)
        _set(self.config, "hydra.sweep.dir", str(directory))
        self.app = dataclasses.replace(self.line, config=self.config)
        self.plan = self._plan(name, directory)

    def _plan(self, name: str, directory: Path) -> SearchPlan:
        options, reading = self.options, self.reading
        return SearchPlan(
            name=name,
            directory=directory,
            storage=storage_url.settled(options["storage"]),
            storage_patience=float(options["storage_patience"]),
            space=reading.space,
            fixed=reading.fixed,
            metrics=reading.metrics,
            constraints=reading.constraints,
            sampler=reading.sampler,
            pruner=reading.pruner,
            total=reading.total,
            max_attempts=options["max_attempts"],
            max_failures=options["max_failures"],
            budget=Budget(options["timeout"], options["device_hours"], reserved(self.config)),
            first=reading.first,
            forgiven=frozenset(),
            copies=options["copies"],
            wait=options["wait"],
            heartbeat=options["heartbeat"],
            grace=options["grace"],
            command=_command(reading.fixed),
        )

    def _check(self) -> Callable[[DictConfig], object] | None:
        path = self.options["check"]
        return get_method(path) if path else None

    def _open(self) -> None:
        version = versions.open_or_create(
            self.plan.directory,
            self.plan.name,
            self.reading.question,
            self.reading.space,
            self.plan.storage,
            self.options["seed"],
            self.plan.storage_patience,
        )
        if version.news:
            say(version.news)
        self._name(version.name, version.directory)
        self.study, plan = version.study, self.plan
        self.console = Console(self.reading.directions, study.metrics_of(self.study))
        OmegaConf.save(self.config, plan.directory / "multirun.yaml")
        trials = self.study.get_trials(deepcopy=False)
        self.plan = plan = dataclasses.replace(plan, first=still_to_run(plan.first, trials))
        if self.reading.is_grid:
            self.plan = plan = dataclasses.replace(
                plan,
                forgiven=crashed(trials),
                total=plan.total - sum(is_imported(trial) for trial in trials),
            )
        done = Tally(plan.forgiven).count(trials).done
        pruner = (plan.pruner or {}).get("_target_") or "no pruning"
        say(
            f"study {plan.name}: {done} of {plan.total} trials done, "
            f"{_last(plan.sampler['_target_'])}, {_last(pruner)}, "
            f"{self._workers()} worker(s), {plan.directory}"
        )

    def _missing(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        failures = Tally(self.plan.forgiven).count(trials).failures
        return self.plan.places(self.study).open() and not self.plan.too_many(failures)

    def _workers(self) -> int:
        """Return how many workers there is work for."""
        trials = self.study.get_trials(deepcopy=False)
        left = self.plan.total - Tally(self.plan.forgiven).count(trials).done
        return max(1, min(int(self.options["n_workers"]), left))

    def _launch(self) -> list[BaseException]:
        """Run the workers to their end; return what ended those that died."""
        workers = self._workers()
        config = self.config
        order = self._order(workers)
        plan = dataclasses.replace(self.plan, order=order, dependence=self._dependence(order))
        if workers > 1 and config.hydra.launcher.get("_target_") == BASIC:
            config = copy.deepcopy(config)
            with read_write(config), open_dict(config):
                config.hydra.launcher = OmegaConf.structured(LocalLauncherConf)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(self.context.config_loader, Callbacks()),
            task_function=Worker(plan, self.app, self.console),
            config=config,
        )
        jobs = [
            [*self.plan.fixed, f"hydra.sweep.subdir=workers/{index}", "hydra.output_subdir=null"]
            for index in range(workers)
        ]
        returns = launcher.launch(jobs, initial_job_idx=0)
        return [job._return_value for job in returns if job.status != JobStatus.COMPLETED]

    def _order(self, workers: int) -> Order:
        """Return in which order points are taken, if they are known beforehand."""
        if not knows_points(self.plan.sampler, self.plan.space):
            return Order.line
        if evicts(self.config):
            return Order.tree
        return Order.ahead if workers > 1 else Order.line

    def _dependence(self, order: Order) -> dependence.Dependence | None:
        """Return which parameters each stage depends on, if that matters to what comes next."""
        path, plan = self.options["stages"], self.plan
        matters = order is not Order.line or plan.budget.limited
        if not path or not (matters or wants_dependence(plan.sampler)):
            return None
        return dependence.find(self.app, plan.fixed, plan.space, get_method(path))

    def _explain_failure(self, rows: Sequence[TrialRow]) -> None:
        failed = [row for row in rows if row.state == "failed"]
        if failed:
            place = self.plan.directory
            complain(
                f"{len(failed)} of {self.plan.total} trials failed; the last: {failed[-1].error}"
            )
            complain(f"Tracebacks are in the study ({place}), logs in its trial directories.")


def _named(config: DictConfig, name: str) -> DictConfig:
    """Return a copy of the sweep's configuration in which the study has its name."""
    named = copy.deepcopy(config)
    _set(named, "hydra.sweeper.study_name", name)
    return named


def _set(config: DictConfig, key: str, value: str) -> None:
    """Set a Hydra option here and, as an override, in every configuration composed from it."""
    with read_write(config), open_dict(config):
        OmegaConf.update(config, key, value)
        text = QuotedString(value, Quote.single).with_quotes()
        config.hydra.overrides.hydra.append(f"{key}={text}")


def _without_password(config: DictConfig) -> DictConfig:
    """Return a copy that may be written down: the storage's URL as people may see it."""
    shown = copy.deepcopy(config)
    written = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    with read_write(shown), open_dict(shown):
        if isinstance(written, dict) and isinstance(written.get("storage"), str):
            url = storage_url.settled(storage_url.shown(written["storage"]))
            shown.hydra.sweeper.storage = url
        told = shown.hydra.overrides.hydra
        shown.hydra.overrides.hydra = [storage_url.shown(word) for word in told]
    return shown


def _last(dotted: str) -> str:
    return dotted.rsplit(".", 1)[-1]


def _program() -> list[str]:
    program = sys.argv[0]
    return ["python", program] if program.endswith(".py") else [Path(program).name]


def _invocation() -> str:
    """Return the command line that goes on with this search."""
    return storage_url.shown(shlex.join([*_program(), *sys.argv[1:]]))


def _command(fixed: Sequence[str]) -> str:
    """Return the beginning of a command line that runs the same app with the same flags."""
    words = _program()
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for short, long in (
        ("-cn", "--config-name"),
        ("-cp", "--config-path"),
        ("-cd", "--config-dir"),
    ):
        flags.add_argument(short, long)
    given, _ = flags.parse_known_args(sys.argv[1:])
    for name, value in vars(given).items():
        words += [f"--{name.replace('_', '-')}", value] if value else []
    return shlex.join([*words, *fixed])
