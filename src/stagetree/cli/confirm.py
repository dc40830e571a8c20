"""``stagetree confirm``: the best trials against the default, with several seeds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stagetree.cli.options import AsJson, Root, StudyName, directory, show, study_home
from stagetree.cli.studies import Storage
from stagetree.core import interrupt
from stagetree.core.errors import ConfigError, Fault, StagetreeError, unknown

if TYPE_CHECKING:
    from optuna import Study

    from stagetree.cli.confirming import Plan, Question
    from stagetree.cli.reruns import Rerun
    from stagetree.core.confirmations import Confirmation
    from stagetree.search.candidates import Candidate

LOCK = "confirm.lock"


Top = Annotated[int, typer.Option(min=1, help="How many of the best trials to confirm.")]
Seeds = Annotated[int, typer.Option(min=2, help="How many seeds; those of the study are left out.")]
Trials = Annotated[list[int] | None, typer.Option(help="Confirm this trial; may be repeated.")]
Baseline = Annotated[
    int | None, typer.Option(help="Compare with this trial instead of the default.")
]
Metric = Annotated[str | None, typer.Option(help="Which of several objectives to compare.")]
Seed = Annotated[list[int] | None, typer.Option(help="Use this seed; may be repeated.")]
Workers = Annotated[int, typer.Option(min=1, help="How many runs at a time.")]
Test = Annotated[bool, typer.Option(help="Read the test split after the verdict.")]
Again = Annotated[
    bool, typer.Option("--again", help="Read the test split although it was read before.")
]


def confirm(
    study: StudyName,
    top: Top = 3,
    seeds: Seeds = 5,
    trial: Trials = None,
    baseline: Baseline = None,
    metric: Metric = None,
    seed: Seed = None,
    workers: Workers = 1,
    test: Test = True,
    again: Again = False,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Rerun the best trials and the default with several seeds and say which to ship.

    Statistics are paired over seeds and validation examples and corrected for the number of
    comparisons. Only when the verdict is on record is the test split read, once. Runs that are
    done are not done again: the same line goes on after an interruption.

        stagetree confirm demo --top 3 --seeds 5
        stagetree confirm front --trial 4 --trial 9 --metric f1
    """
    from stagetree.cli.confirming import Question
    from stagetree.core.lease import Lease
    from stagetree.report.confirmation import confirmation_block
    from stagetree.search import results
    from stagetree.search.study import directions_of, metrics_of

    found = results.open_study(study, directory(root) / "studies", storage)
    home = study_home(study, root)
    objective = _objective(found, metric)
    question = Question(
        study=found.study_name,
        directory=home,
        metrics=metrics_of(found),
        directions=directions_of(found),
        objective=objective,
        baseline=_baseline(found, baseline, objective),
        candidates=_candidates(found, trial or (), top, objective),
        seeds=seed or (),
        count=seeds,
        extra=() if root is None else (f"paths.root='{root}'",),
    )
    lease = Lease(home / LOCK)
    if not lease.try_acquire():
        raise StagetreeError(f"study {found.study_name!r} is being confirmed by another process")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the outcome alone
            confirmation = _confirm(question, workers=workers, test=test, again=again)
    except (KeyboardInterrupt, interrupt.Terminated):
        _say("interrupted; the same line again goes on from here")
        raise
    finally:
        lease.release()
    show(confirmation, as_json, None if as_json else confirmation_block(confirmation))


def _objective(study: Study, metric: str | None) -> int:
    from stagetree.search.study import metrics_of

    metrics = metrics_of(study)
    if metric is None:
        return 0
    if metric not in metrics:
        raise ConfigError([Fault("--metric", unknown("objective", metric, metrics))])
    return metrics.index(metric)


def _baseline(study: Study, number: int | None, objective: int) -> Candidate:
    """Return what is to be beaten: a trial, or the configuration that the study began from.

    Raises:
        ConfigError: There is no such complete trial.
        StagetreeError: No trial is complete.
    """
    from stagetree.search import candidates, results
    from stagetree.search.study import directions_of

    rows = results.rows(study)
    first = candidates.best(rows, directions_of(study)[objective], objective)[0]
    if number is None:
        return candidates.default(first)
    return candidates.candidate(candidates.named(rows, [number], "--baseline")[0], objective)


def _candidates(study: Study, numbers: Sequence[int], top: int, objective: int) -> list[Candidate]:
    """Return the trials to confirm, best first, or as they are named.

    Raises:
        ConfigError: A number is not that of a complete trial, or several objectives leave open
            which trials are best.
    """
    from stagetree.search import candidates, results
    from stagetree.search.study import directions_of

    rows, directions = results.rows(study), directions_of(study)
    if not numbers and len(directions) > 1:
        front = ", ".join(str(row.number) for row in results.front(rows, directions))
        message = (
            f"expected the trials to confirm, as none is best in {len(directions)} objectives; "
            f"no other one beats trials {front}"
        )
        raise ConfigError([Fault("--trial", message)])
    ranked = candidates.best(rows, directions[objective], objective)[:top]
    wanted = candidates.named(rows, numbers, "--trial") if numbers else ranked
    return [candidates.candidate(row, objective) for row in wanted]


def _confirm(question: Question, *, workers: int, test: bool, again: bool) -> Confirmation:
    """Run what is missing, compare, put the verdict on record and then read the test split."""
    from stagetree.cli import confirming, judging, unseen
    from stagetree.core import confirmations

    plan = confirming.prepare(question)
    known = confirmations.find(confirmations.read(question.directory), plan.identity)
    if known is not None and (known["test"] or {}).get("status") == confirmations.READ:
        _say(f"confirmed on {known['time']}; this is the record of it")
        return known
    failed = _run(plan, workers)
    found = judging.judge(plan, judging.outcomes(plan, failed))
    found["test"] = known["test"] if known is not None else None  # a reading that was begun counts
    confirmations.put(question.directory, found)
    if test:
        found["test"] = unseen.read_test(plan, found, again=again, heard=_say)
    else:
        found["test"] = {"status": "spared", "why": "not read, as --no-test says"}
    confirmations.put(question.directory, found)
    return found


def _run(plan: Plan, workers: int) -> dict[tuple[str, int], str]:
    """Run what is not done yet; return what failed, by candidate and seed."""
    from stagetree.cli import reruns

    runs = plan.all_runs()
    left = [run for run, pipeline in runs if reruns.stages(run, pipeline, plan.store) is None]
    stages = {node.signature for _, pipeline in runs for node in pipeline.nodes}
    missing = sum(not plan.store.has(signature) for signature in stages)
    names = ", ".join(one.name for one in plan.candidates)
    seeds = ", ".join(map(str, plan.seeds))
    _say(
        f"study {plan.question.study}: {names} with seeds {seeds}; {len(left)} of {len(runs)} "
        f"runs to do, {missing} of {len(stages)} stages to compute"
    )
    for name, other in plan.same.items():
        _say(f"{name} is the same as the {other}")
    failed: dict[tuple[str, int], str] = {}
    done = len(runs) - len(left)

    def heard(run: Rerun, error: str) -> None:
        nonlocal done
        done += 1
        if error:
            failed[run.candidate, run.seed] = error
        how = f"failed: {error}" if error else "done"
        _say(f"[{done}/{len(runs)}] {run.candidate}, seed {run.seed}  {how}")

    reruns.run_all(left, workers, heard)
    return failed


def _say(text: str) -> None:
    typer.echo(text, err=True)
