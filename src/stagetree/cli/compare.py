"""``stagetree compare``: what differs between runs, and on which examples they disagree."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stagetree.cli.options import AsJson, Root, directory, show
from stagetree.cli.studies import Storage
from stagetree.core.errors import ConfigError, Fault, StagetreeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stagetree.pipeline.store import Store
    from stagetree.report.compare import Side
    from stagetree.report.disagreements import Disagreements


def compare(
    subjects: Annotated[
        list[str],
        typer.Argument(help="Runs' directories, STUDY:NUMBER, studies, or stored signatures."),
    ],
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            help="Show so many examples that only the one, or the other, gets right.",
            min=0,
        ),
    ] = 3,
    as_json: AsJson = False,
    root: Root = None,
    storage: Storage = None,
) -> None:
    """Compare runs, trials, studies (by their best trials) and stored results with the first one.

    Shows the settings, the metrics and the learning curves in which they differ, and on which
    validation examples the last stage of one is right and that of the other wrong.
    """  # fmt: skip
    from stagetree.cli.stored import signed
    from stagetree.cli.subjects import Places, find
    from stagetree.report import compare as comparing
    from stagetree.report.compare_tables import comparison

    if len(subjects) < 2:
        raise ConfigError([Fault("subjects", f"expected two or more but got {len(subjects)}")])
    places = Places(directory(root), storage)
    sides = [find(word, places) for word in subjects]
    if not all(side.whole for side in sides):
        sides = [signed(side, places.store) for side in sides]
    rows, note = _rows(sides, places.store) if examples else (None, "")
    answers = [_answer(sides[0], side, places.store, rows, examples) for side in sides[1:]]
    shown = comparing.to_json(sides)
    shown["examples"] = [_json(answer) for answer in answers]
    told = any(not isinstance(answer, str) and answer.shown for answer in answers)
    notes = [note] if note and told else []
    show(shown, as_json, "" if as_json else comparison(sides, answers, notes))


def _answer(
    first: Side,
    other: Side,
    store: Store,
    rows: Sequence[Mapping[str, Any]] | None,
    shown: int,
) -> Disagreements | str:
    """Return how the last stages of two sides agree, or why that cannot be said."""
    from stagetree.report.disagreements import comparable, disagreements

    found = []
    for side in (first, other):
        if not side.stages:
            return f"{side.name} has no finished stage"
        if any("@" in stage.name for stage in side.stages):
            return f"{side.name} ran with several seeds; compare results of one seed by signature"
        kept = store.examples(side.stages[-1].signature)
        if kept is None:
            return f"what {side.name} said of each example is not kept in {store.root}"
        found.append(kept)
    if first.stages[-1].signature == other.stages[-1].signature:
        return "their last stage is the same result"
    if not comparable(*found):
        return "they were scored on different examples"
    if rows is not None and len(rows) != len(found[0]):
        rows = None
    return disagreements(found[0], found[1], rows, shown)


def _rows(sides: Sequence[Side], store: Store) -> tuple[Sequence[Mapping[str, Any]] | None, str]:
    """Return the validation examples, or why there are none, from a run's own configuration."""
    from stagetree.data.load import load
    from stagetree.pipeline.recorded import compose_recorded

    recorded = next((side for side in sides if side.recorded and side.stages), None)
    if recorded is None:
        return None, "The examples' text is not known: no run with a record is among the compared."
    try:
        pipeline = compose_recorded(recorded.recorded)
        kept = store.get(recorded.stages[-1].signature)
        if kept is not None and kept.data != pipeline.data_fingerprint:
            return None, "The examples' text is left out: the data has changed since."
        return load(pipeline.data).validation, ""
    except StagetreeError as error:
        return None, f"The examples' text is left out: {error}"


def _json(answer: Disagreements | str) -> dict[str, Any]:
    return {"unknown": answer} if isinstance(answer, str) else dataclasses.asdict(answer)
