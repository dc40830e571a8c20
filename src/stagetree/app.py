"""What ``run.py`` calls: one configuration in, one number out."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stagetree.core import interrupt, project
from stagetree.core.errors import ConfigError, Fault, StagetreeError
from stagetree.core.kept import Kept
from stagetree.core.reporting import Reporter, Reporters, RunInfo, current_trial
from stagetree.pipeline import commandline, runner, schema
from stagetree.pipeline.budget import Budget
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.opening import store_of
from stagetree.pipeline.store import Store

if TYPE_CHECKING:
    from stagetree.core.summary import StudySummary


def run(cfg: DictConfig) -> float | tuple[float, ...]:
    """Run the pipeline of a configuration and return its objective, a tuple if it has several.

    Inside a search the surrounding trial hears the run and may end it.

    Raises:
        ConfigError: The configuration cannot be run; nothing heavy was loaded.
        TrialPruned: The surrounding trial was cut short.
    """
    pipeline = compose(cfg)
    info = _describe(cfg)
    if cfg.threads is not None:
        runner.limit_threads(cfg.threads)
    result = runner.run(
        pipeline,
        store_of(cfg),
        Path(cfg.paths.cache),
        _listeners(cfg, pipeline.objective.name),
        info,
        _budget(cfg),
    )
    if current_trial() is None:
        _print_summary(result, pipeline, info)
    return result.values[0] if len(result.values) == 1 else result.values


def study_finished(cfg: DictConfig, summary: StudySummary) -> None:
    """Tell the tracker of a configuration that a search is over.

    Args:
        cfg: The composed configuration of the search.
        summary: What the search came to.
    """
    from stagetree.tracking.base import TRACKERS

    TRACKERS[cfg.tracker.kind](cfg.tracker, Path(cfg.paths.root)).study_finished(summary)


def _budget(cfg: DictConfig) -> Budget | None:
    """Return what keeps the store within its budget, if it has one."""
    if cfg.store.budget_gb is None:
        return None
    places = (cfg.paths.store, cfg.paths.studies, cfg.paths.outputs)
    return _budget_at(*map(str, places), float(cfg.store.budget_gb), int(cfg.store.keep_best))


@functools.lru_cache(maxsize=1)
def _budget_at(store: str, studies: str, outputs: str, gigabytes: float, best: int) -> Budget:
    """Return the one budget of this process: it remembers sizes, and what it has told."""

    def kept() -> Kept:
        from stagetree.search.kept import everything

        experiments = project.root() / "experiments"
        return everything(Path(studies), Path(outputs), experiments, best, running=False)

    return Budget(Store(Path(store)), gigabytes * 1e9, kept)


def _print_summary(result: runner.PipelineResult, pipeline: Pipeline, info: RunInfo) -> None:
    from stagetree.report.tables import render, run_table, spread

    metrics, several = pipeline.objective.metrics, bool(pipeline.seeds)
    scores = zip(metrics, zip(*result.by_seed, strict=True), strict=True)
    facts = {
        **{name: spread(values) for name, values in scores},
        **({} if several else {"model": result.stages[-1].model_dir}),
        "record": info.directory,
        "numerics": pipeline.numerics,
        "rerun": info.command,
    }
    table = render(run_table(result.stages, pipeline.objective.name))
    lines = [table, "", *(f"{name:<8}  {fact}" for name, fact in facts.items())]
    print("\n".join(lines))  # noqa: T201 - the command line speaks here


def _listeners(cfg: DictConfig, metric: str) -> Reporter:
    from stagetree.report.console import ConsoleProgress
    from stagetree.tracking.base import trackers

    trial = current_trial()
    reporters: list[Reporter] = list(trackers(cfg.tracker, Path(cfg.paths.root)))
    if cfg.progress:
        brief = trial is not None and not _own_terminal()
        reporters.append(ConsoleProgress(metric, brief=brief))
    if trial is not None:
        reporters.append(trial.reporter)
    return Reporters(reporters)


def _own_terminal() -> bool:
    """Return whether this process alone draws on a terminal."""
    return sys.stderr.isatty() and "STAGETREE_SHARED_TERMINAL" not in os.environ


def _describe(cfg: DictConfig) -> RunInfo:
    job = HydraConfig.get()
    trial = current_trial()
    directory = Path(job.runtime.output_dir)
    overrides = [str(word) for word in job.overrides.task]
    return RunInfo(
        name=f"{trial.study}/{trial.number}" if trial else directory.name,
        directory=directory,
        config=cast("dict[str, object]", OmegaConf.to_container(cfg, resolve=True)),
        overrides=overrides,
        study=trial.study if trial else None,
        number=trial.number if trial else None,
        params=trial.params if trial else {},
        command=shlex.join(["python", "run.py", *overrides]),
    )


def main() -> None:
    """Run the command line of ``run.py`` and exit with a code that says how it went.

    Exit codes: 0 done, 1 failed, 2 bad configuration or usage, 130 interrupted, 143 terminated.
    """
    schema.register()
    interrupt.raise_on_sigterm()
    app = hydra.main(str(project.root() / "conf"), config_name="config", version_base="1.3")(run)
    shown = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of ending the process
    try:
        app()
    except KeyboardInterrupt:
        _say("interrupted; the same line again goes on from here")
        sys.exit(interrupt.INTERRUPTED)
    except interrupt.Terminated:
        _say("terminated; the same line again goes on from here")
        sys.exit(interrupt.TERMINATED)
    except ConfigError as error:
        sys.exit(_refuse(error.faults))
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(_refuse(commandline.diagnose(_words()) or [Fault("", str(error))]))
    except StagetreeError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the outermost frame: say what failed, then exit 1
        traceback.print_exception(error) if shown == "1" else _say_last(error)
        sys.exit(1)


def _words() -> list[str]:
    """Return the overrides among the words of the command line."""
    from hydra._internal.utils import get_args_parser

    return list(get_args_parser().parse_args().overrides)


def _refuse(faults: list[Fault] | tuple[Fault, ...]) -> int:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    _say(f"{count} in the configuration:")
    for fault in faults:
        _say(f"  {fault}")
    return 2


def _say_last(error: Exception) -> None:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _say(f"{type(error).__name__}: {error}\n  in {frame.name} ({frame.filename}:{frame.lineno})")
    _say("Set HYDRA_FULL_ERROR=1 for the whole traceback.")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the command line speaks here
