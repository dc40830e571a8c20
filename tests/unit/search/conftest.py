import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from stagetree.search.parameter import Choice, Parameter
from stagetree.search.space import Space
from stagetree.search.stage_pruner import stage_attribute, step_of

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def grid() -> Space:
    """Two keys, six points."""
    axes = {"a": [1, 2], "b": ["x", "y", None]}
    return Space(
        tuple(
            Parameter(
                name,
                name,
                CategoricalDistribution(values),
                tuple(Choice(value, "null" if value is None else str(value)) for value in values),
            )
            for name, values in axes.items()
        )
    )


@pytest.fixture
def line() -> Space:
    """One continuous key."""
    return Space((Parameter("x", "x", FloatDistribution(0, 1)),))


@pytest.fixture
def new_study() -> Callable[..., Study]:
    """Makes studies in memory."""
    return optuna.create_study


class Recorded:
    """A study whose trials are written down as a worker leaves them, without running anything.

    Args:
        metrics: Its objectives.
        directions: ``maximize`` or ``minimize``, one an objective.
    """

    def __init__(
        self, metrics: Sequence[str] = ("f1",), directions: Sequence[str] = ("maximize",)
    ) -> None:
        self.metrics = metrics
        self.study = optuna.create_study(directions=list(directions), study_name="recorded")
        question = {"metrics": list(metrics), "directions": list(directions), "space": {}}
        self.study.set_user_attr("stagetree:fingerprint", question)

    def add(
        self,
        params: Mapping[str, Any],
        space: Mapping[str, BaseDistribution],
        curves: Mapping[str, Sequence[float]],
        state: str = "complete",
        values: Sequence[float] | None = None,
        violation: float | None = None,
        **notes: Any,
    ) -> None:
        """Add a trial.

        Args:
            params: Its hyperparameters.
            space: Distributions by name, of more than these if need be.
            curves: What each of its stages reported, at even parts of the stage.
            state: How it ended; a pruned or failed one did so half way through its last stage.
            values: Its objectives; by default what its last stage reported at last.
            violation: By how much it breaks a bound on ``bytes``.
            notes: What else is noted of it.
        """
        reports: dict[int, float] = {}
        attributes: dict[str, Any] = {}
        rows: list[dict[str, Any]] = []
        for index, (stage, curve) in enumerate(curves.items()):
            own = sorted((name, value) for name, value in params.items() if "." in name)
            before = list(curves)[: index + 1]
            key = repr([pair for pair in own if pair[0].split(".")[0] in before])
            signature = hashlib.sha256((stage + key).encode()).hexdigest()
            attributes[stage_attribute(index)] = [stage, signature]
            unfinished = state != "complete" and index == len(curves) - 1
            for place, value in enumerate(curve, start=1):
                part = place / len(curve) * (0.5 if unfinished else 1.0)
                reports[step_of(index, part)] = value
            if not unfinished:
                rows.append(_stage(stage, signature, curve[-1]))
        noted = {"ended": state, "stages": rows, "seconds": 5.0, **notes}
        if state == "pruned":
            noted["pruned_in"] = list(curves)[-1]
        number = len(self.study.trials)
        last = [list(curves.values())[-1][-1]] if curves else None
        complete = state == "complete"
        started = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=10 * number)
        trial = FrozenTrial(
            number=number,
            trial_id=number,
            state={"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
                state, TrialState.FAIL
            ),
            value=None,
            values=(values or last) if complete or state == "pruned" else None,
            datetime_start=started,
            datetime_complete=started + datetime.timedelta(seconds=15),
            params=dict(params),
            distributions={name: space[name] for name in params},
            user_attrs={**attributes, "notes": noted},
            system_attrs={},
            intermediate_values=reports if len(self.metrics) == 1 else {},
        )
        if violation is not None:
            trial.set_constraint("bytes", violation)
        self.study.add_trial(trial)


def _stage(name: str, signature: str, value: float) -> dict[str, Any]:
    return {
        "name": name,
        "kind": name,
        "signature": signature,
        "seconds": 2.0,
        "reused": False,
        "model_dir": "model",
        "metrics": {"f1": value, "bytes": 1e7 * (1 + value), "latency_ms": 4 + 3 * value},
    }


@pytest.fixture
def recorded() -> type[Recorded]:
    """Makes studies of written trials."""
    return Recorded
