"""``stagetree predict``: what a stored model says about new texts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TextIO

import typer

from stagetree.cli.options import Root, directory
from stagetree.core import atomic
from stagetree.core.errors import ConfigError, Fault, unknown
from stagetree.data import inputs, outputs

if TYPE_CHECKING:
    from stagetree.models.runner import Runner
    from stagetree.tasks.prediction import PredictOptions, Predictor

_PANEL = "Post-processing"


ModelDir = Annotated[
    str, typer.Argument(help="Model directory, or the signature of a stored result.")
]
Inputs = Annotated[str, typer.Argument(help="File of inputs; - for standard input.")]
Kind = Annotated[
    str | None,
    typer.Option("--format", help="jsonl, csv, tsv or text; by default the suffix tells."),
]
TextColumn = Annotated[str, typer.Option(help="Name of the field or column that is the text.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")
]
OutputFormat = Annotated[
    str | None, typer.Option(help="jsonl or csv; by default the suffix of --output tells.")
]
Batch = Annotated[int, typer.Option(min=1, help="Inputs a forward pass.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
MaxLength = Annotated[
    int | None, typer.Option(min=3, help="Longest row in sub-words; at most the model's.")
]
Words = Annotated[
    str | None,
    typer.Option(help="How raw text becomes words (ner): conll (default), simple, spaces."),
]
Threshold = Annotated[
    float,
    typer.Option(help="Less sure entities become O, labels --fallback.", rich_help_panel=_PANEL),
]
Fallback = Annotated[
    str | None, typer.Option(help="Label below the threshold; else null.", rich_help_panel=_PANEL)
]
Scores = Annotated[
    bool, typer.Option("--scores", help="Give every label's score.", rich_help_panel=_PANEL)
]
Rules = Annotated[
    Path | None, typer.Option(help="YAML file of rules for entities.", rich_help_panel=_PANEL)
]
JsonLines = Annotated[bool, typer.Option("--json", help="JSON lines, as by default.")]


def predict(
    model_dir: ModelDir,
    file: Inputs = "-",
    kind: Kind = None,
    text_column: TextColumn = "text",
    output: Output = None,
    output_format: OutputFormat = None,
    batch_size: Batch = 32,
    threads: Threads = None,
    max_length: MaxLength = None,
    words: Words = None,
    threshold: Threshold = 0.0,
    fallback: Fallback = None,
    scores: Scores = False,
    rules: Rules = None,
    as_json: JsonLines = False,
    root: Root = None,
) -> None:
    """Predict labels or entities of new texts with a model of any form.

    An input is a line {"text": ...}, {"text": ..., "text_pair": ...} or {"tokens": [...]}, a row
    of a table with a text column, or a line of plain text. Its other fields are kept:

        stagetree predict runs/store/ab/abcd/model reviews.csv --text-column review -o out.csv

        tail -f log.txt | stagetree predict MODEL_DIR

    From standard input answers come out as the input pauses. A bad line is told on standard
    error, the others are predicted, and the exit code is 1.
    """
    from stagetree.cli.rules import read_rules
    from stagetree.tasks.prediction import PredictOptions
    from stagetree.training.prediction import predictions

    source, target = _formats(file, kind, output, output_format, as_json)
    given = read_rules(rules) if rules is not None else ()
    options = PredictOptions(threshold, fallback, scores, given, words)
    runner, predictor = _opened(_place(model_dir, root), threads, max_length, options)
    counts = _Counts()
    with (
        _lines(file) as lines,
        _target(output) as stream,
        runner.limited(threads) if threads else contextlib.nullcontext(),
    ):
        found = inputs.read(lines, file, source, text_column)
        answers = predictions(runner, predictor, found, batch_size, live=file == "-")
        write = outputs.writer(stream, target)
        for answer in answers:
            counts.add(answer.place, answer.fault)
            if not answer.fault:
                write(answer.record)
                if file == "-":
                    stream.flush()
    counts.tell(always=output is not None)
    if counts.bad:
        raise typer.Exit(1)


@dataclass
class _Counts:
    """How many inputs there were, and how many could not be used."""

    good: int = 0
    bad: int = 0

    def add(self, place: str, fault: str) -> None:
        if fault:
            self.bad += 1
            typer.echo(f"{place}: {fault}", err=True)
        else:
            self.good += 1

    def tell(self, always: bool) -> None:
        if always or self.bad:
            total = self.good + self.bad
            text = f"predicted {self.good} of {total} inputs; {self.bad} could not be used"
            typer.echo(text, err=True)


def _formats(
    file: str, kind: str | None, output: Path | None, output_format: str | None, as_json: bool
) -> tuple[str | None, str]:
    """Return the formats of input and output.

    Raises:
        ConfigError: One is unknown, or there is no such file.
    """
    by_suffix = "csv" if output is not None and output.suffix.lower() == ".csv" else "jsonl"
    target = "jsonl" if as_json else output_format or by_suffix
    faults = []
    if kind is not None and kind not in inputs.FORMATS:
        faults.append(Fault("--format", unknown("format", kind, inputs.FORMATS)))
    if target not in outputs.FORMATS:
        faults.append(Fault("--output-format", unknown("format", target, outputs.FORMATS)))
    if file != "-" and not Path(file).is_file():
        faults.append(Fault("FILE", f"expected a file at {file} but there is none"))
    if output is not None and not output.parent.is_dir():
        faults.append(Fault("--output", f"expected a directory at {output.parent}"))
    if faults:
        raise ConfigError(faults)
    return kind or inputs.format_of(file), target


def _place(model_dir: str, root: Path | None) -> Path:
    """Return the model directory that was named by path or by signature.

    Raises:
        ConfigError: There is none.
    """
    from stagetree.pipeline.store import Store

    path = Path(model_dir)
    if path.is_dir():
        return path
    store = Store(directory(root) / "store")
    if not path.is_absolute() and set(model_dir) <= set("0123456789abcdef"):
        return store.model_dir(store.find(model_dir))
    raise ConfigError([Fault("MODEL_DIR", f"expected a model directory at {path}")])


def _opened(
    place: Path, threads: int | None, max_length: int | None, options: PredictOptions
) -> tuple[Runner, Predictor]:
    """Open a model and what decodes it.

    Raises:
        ConfigError: The options do not fit the model.
        ModelError: The directory cannot be opened.
    """
    from stagetree.models.load import load
    from stagetree.tasks.base import TASKS

    runner = load(place, threads=threads)
    length = max_length or runner.max_length
    if length > runner.max_length:
        message = f"expected at most {runner.max_length}, what the model was made for, got {length}"
        raise ConfigError([Fault("--max-length", message)])
    kind = TASKS[runner.task]
    task = kind(kind.Config())
    return runner, task.predictor(runner.tokenizer, runner.labels, length, options)


@contextlib.contextmanager
def _lines(file: str) -> Iterator[IO[str]]:
    """Open the inputs, with a progress bar when a person looks on."""
    if file == "-":
        yield inputs.opened(sys.stdin.buffer)
        return
    with contextlib.ExitStack() as stack:
        raw: Any = stack.enter_context(Path(file).open("rb"))
        if sys.stderr.isatty():
            raw = stack.enter_context(_progress(raw, file))
        yield inputs.opened(raw)


@contextlib.contextmanager
def _progress(raw: Any, file: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import wrap_file

    total = Path(file).stat().st_size
    with wrap_file(
        raw, total, description=Path(file).name, console=Console(stderr=True), transient=True
    ) as watched:
        yield watched


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with atomic.writing(output) as stream:
        yield stream
