"""What each section of the page is told: the study, turned into what its template shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from stagetree.core.numbers import short
from stagetree.core.trials import TrialRow
from stagetree.report.colours import Scale, shade
from stagetree.report.costs import Costs, StageCost, costs
from stagetree.report.errors import error_kinds
from stagetree.report.leaderboard import leaderboard
from stagetree.report.numbers import duration, score
from stagetree.report.quality import class_rows, matrix_rows, most_taken
from stagetree.report.tree import grow
from stagetree.report.tree_details import details
from stagetree.report.tree_layout import lay_out
from stagetree.report.verdict import verdict
from stagetree.report.view import StudyView
from stagetree.tasks.examples import NONE

FEW = 50
"""How many rows of the leaderboard are shown at once."""

ENDS = 36
"""How many ends of the stage tree are drawn at once."""

Context = dict[str, Any]


def detail_of(view: StudyView) -> TrialRow | None:
    """Return the trial that the page shows closely: the best, or the first of the front."""
    return view.best or next(iter(view.front), None)


def scale_of(view: StudyView) -> Scale:
    """Return the colours of the first objective."""
    ended = [row for row in view.rows if row.state in ("complete", "pruned") and row.values]
    return Scale([row.values[0] for row in ended], view.sign)


def figures(view: StudyView) -> list[Mapping[str, Any]]:
    """Return the charts as the template takes them."""
    return [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "plotly": dict(figure.plotly),
        }
        for figure in view.figures
    ]


def verdict_part(view: StudyView) -> Context:
    """Return the verdict, the figures beside it and the winner's hyperparameters."""
    cost, detail = costs(view.rows, view.curves), detail_of(view)
    states = ("complete", "pruned", "failed", "running", "waiting", "rejected")
    counts = ", ".join(f"{view.count(state)} {state}" for state in states if view.count(state))
    tiles = [
        {"name": "trials", "value": len(view.rows), "note": counts},
        {"name": "time spent", "value": duration(cost.spent), "note": "all trials together"},
    ]
    if view.best is not None and not view.several:
        value = score(view.best.values[0])
        tiles.insert(
            0, {"name": view.metrics[0], "value": value, "note": f"trial {view.best.number}"}
        )
    if cost.reuses:
        note = f"{cost.reuses} results reused"
        tiles.append({"name": "not spent again", "value": duration(cost.reused), "note": note})
    if cost.pruned:
        note = f"by pruning {view.count('pruned')} trials"
        tiles.append({"name": "about spared", "value": duration(cost.pruned), "note": note})
    shown = detail is not None and not view.several
    params = detail.params.items() if detail is not None and shown else ()
    return {
        "verdict": verdict(view),
        "tiles": tiles,
        "detail": detail,
        "best_params": [(name, short(value), view.space.get(name, "")) for name, value in params],
    }


def board_part(view: StudyView) -> Context:
    """Return the leaderboard."""
    front = frozenset(row.number for row in view.front)
    board = leaderboard(view.rows, view.directions, view.metrics, front)
    return {"board": board, "few": FEW, "scale": scale_of(view)}


def tree_part(view: StudyView) -> Context:
    """Return the stage tree: the drawing, the whole one if that is another, and all details."""
    root = grow(view.rows, view.curves, view.sign)
    leaves = sum(not node.children for node in root.walk())
    drawing = lay_out(root, view.sign, ENDS)
    detail = detail_of(view)
    won = {node.id for node in root.walk() if detail and detail.number in node.trials}
    return {
        "empty_tree": not root.children,
        "leaves": leaves,
        "drawing": drawing,
        "whole": lay_out(root, view.sign) if drawing.hidden else None,
        "won": won,
        "ramp": [shade(step / 8) for step in range(9)],
        "details": details(root, view.records),
    }


def cost_part(view: StudyView) -> Context:
    """Return where the time went."""
    cost = costs(view.rows, view.curves)
    text = f"{duration(cost.spent)} spent in {len(view.rows)} trials."
    if cost.reuses:
        text += (
            f" Without sharing it would have been {duration(cost.reused)} more "
            f"({cost.reuses} results reused)."
        )
    if cost.pruned:
        text += f" Pruning spared about {duration(cost.pruned)}."
    kinds = [
        {"name": "computed", "text": "computed"},
        {"name": "cut", "text": "spent on stages that were pruned"},
        {"name": "lost", "text": "lost in failed trials"},
        {"name": "other", "text": "setting up, loading, waiting"},
        {"name": "reused", "text": "not spent again, reused"},
        {"name": "spared", "text": "not spent, pruned (about)"},
    ]
    return {"cost": cost, "spent_text": text, "kinds": kinds, "bars": _bars(cost)}


def _bars(cost: Costs) -> list[Context]:
    rows = [(stage.name, _parts(stage)) for stage in cost.stages]
    rest = {"lost": cost.failed, "other": cost.other}
    rows.append(("everything else", {kind: value for kind, value in rest.items() if value}))
    longest = max((sum(parts.values()) for _, parts in rows), default=0.0)
    if not longest:
        return []
    return [
        {
            "name": name,
            "parts": [
                (kind, round(100 * seconds / longest, 2), f"{kind}: {duration(seconds)}")
                for kind, seconds in parts.items()
            ],
        }
        for name, parts in rows
        if parts
    ]


def _parts(stage: StageCost) -> dict[str, float]:
    parts = {
        "computed": stage.computed,
        "cut": stage.cut,
        "reused": stage.reused,
        "spared": stage.pruned,
    }
    return {kind: seconds for kind, seconds in parts.items() if seconds}


def quality_part(view: StudyView) -> Context:
    """Return how good the winner is: stage by stage, class by class, and what it mistakes."""
    detail = detail_of(view)
    record = view.record_of(detail) if detail else None
    names, classes = class_rows(record.per_class if record else {})
    matrix = matrix_rows(view.confusion) if view.confusion else []
    known = (
        dict.fromkeys(name for stage in detail.stages for name in stage.metrics) if detail else {}
    )
    wanted = (*view.metrics, "loss", "parameters", "bytes", "latency_ms")
    why = (
        "No predictions of its examples are stored, so there is no table of what is taken for what."
    )
    return {
        "record": record,
        "class_names": names,
        "class_table": classes,
        "matrix": matrix,
        "taken": most_taken(view.confusion) if view.confusion else [],
        "nothing": NONE,
        "why_no_matrix": why,
        "stage_metrics": [name for name in dict.fromkeys(wanted) if name in known],
        "environment": _environment(record.environment if record else {}),
    }


def _environment(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            rows += [(str(package), str(version)) for package, version in value.items()]
        elif value is not None:
            rows.append((name, str(value)))
    return rows


def error_part(view: StudyView) -> Context:
    """Return what went wrong."""
    kinds = error_kinds(view.rows)
    return {"errors": kinds, "wrong": sum(len(kind) for kind in kinds)}


def rerun_part(view: StudyView) -> Context:
    """Return the lines that run things again."""
    detail, name = detail_of(view), shlex.quote(view.name)
    commands = [("The search: goes on where it stopped", view.search_line)]
    if detail is not None:
        commands += [
            (f"Trial {detail.number}", detail.command),
            ("Keep it as an experiment", _export(view, detail, name)),
            ("Confirm it over several seeds", f"stagetree confirm {name} --top 3 --seeds 5"),
            ("Predict with its model", _predict(detail)),
        ]
    commands += [
        ("All trials", f"stagetree trials {name}"),
        ("This page again", f"stagetree report {name}"),
    ]
    return {"commands": [(title, line) for title, line in commands if line]}


def _export(view: StudyView, detail: TrialRow, name: str) -> str:
    which = f" --trial {detail.number}" if view.several else ""
    return f"stagetree best {name}{which} --export experiments/{name}_best.yaml"


def _predict(detail: TrialRow) -> str:
    if not detail.stages or not detail.stages[-1].model_dir:  # none, or freed
        return ""
    return f"stagetree predict {shlex.quote(detail.stages[-1].model_dir)} FILE"
