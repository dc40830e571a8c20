"""The model card of a stage's result: what it is, what it scored, how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.core.signature import result_fields
from stagetree.data.asset_table import ASSETS
from stagetree.pipeline.nodes import Node, Pipeline

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from stagetree.data.corpus import Corpus
    from stagetree.models.config import ModelConfig
    from stagetree.models.format import Manifest
    from stagetree.pipeline.record import Record

_SIZES = ("parameters", "nonzero_parameters", "bytes", "flops")
_MEASURED = ("peak_memory", "latency", "throughput")
_PIPELINES = {
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForMaskedLM": "fill-mask",
}
_DIGITS = 6


def card(pipeline: Pipeline, node: Node, record: Record, manifest: Manifest, corpus: Corpus) -> str:
    """Return the text of a model card, its front matter as the Hugging Face hub reads it.

    Equal results have equal cards: times and what else a machine measures stay out.

    Args:
        pipeline: The run.
        node: The stage that made the model.
        record: What is known of its result.
        manifest: The model directory's manifest.
        corpus: The data.
    """
    parts = [
        f"---\n{_front_matter(pipeline, node, record, manifest, corpus)}\n---\n",
        f"# {_title(manifest, corpus, node)}\n",
        _summary(node, manifest),
        _loading(manifest),
        _data(pipeline, corpus),
        _scores(record),
        f"## Labels\n\n{', '.join(f'`{label}`' for label in manifest.labels) or 'none'}\n",
        _lineage(pipeline, node),
    ]
    return "\n".join(parts)


def _title(manifest: Manifest, corpus: Corpus, node: Node) -> str:
    return f"{manifest.task} on {corpus.name} ({node.key})"


def _summary(node: Node, manifest: Manifest) -> str:
    return (
        f"Made by the stage `{node.key}` ({node.stage.kind}) of a stagetree pipeline. "
        f"Form `{manifest.form}`, arithmetic `{manifest.numerics}`, inputs of up to "
        f"{manifest.max_length} sub-words.\n"
    )


def _front_matter(
    pipeline: Pipeline, node: Node, record: Record, manifest: Manifest, corpus: Corpus
) -> str:
    from huggingface_hub import ModelCardData

    results = _results(pipeline, record, manifest, corpus)
    hub = pipeline.data.kind == "hub"
    content = ModelCardData(
        base_model=None if pipeline.model.from_scratch else _hub_id(pipeline.model.name),
        datasets=[_dataset(pipeline, corpus)] if hub else None,
        eval_results=results or None,
        library_name="transformers" if manifest.form == "huggingface" else manifest.form,
        license=_licence(pipeline.model),
        model_name=f"{corpus.name}-{node.key}" if results else None,
        pipeline_tag=_PIPELINES.get(manifest.auto_class),
        tags=["stagetree", manifest.task, node.stage.kind],
    )
    return str(content.to_yaml()).strip()


def _results(
    pipeline: Pipeline, record: Record, manifest: Manifest, corpus: Corpus
) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_PIPELINES.get(manifest.auto_class, manifest.task),
            dataset_type=_dataset(pipeline, corpus),
            dataset_name=corpus.name,
            dataset_split="validation",
            metric_type=name,
            metric_value=value,
        )
        for name, value in _quality(record).items()
    ]


def _dataset(pipeline: Pipeline, corpus: Corpus) -> str:
    return str(getattr(pipeline.data, "path", "")) if pipeline.data.kind == "hub" else corpus.name


def _quality(record: Record) -> dict[str, float]:
    return {
        name: round(value, _DIGITS)
        for name, value in record.metrics.items()
        if name not in _SIZES and not name.startswith(_MEASURED)
    }


def _hub_id(name: str) -> str | None:
    """Return the hub id that a model's name stands for, if it does."""
    if name in ASSETS:
        prefix, _, found = ASSETS[name].source.partition("huggingface.co/")
        return found if prefix else None
    return None if Path(name).expanduser().is_dir() else name


def _licence(model: ModelConfig) -> str | None:
    """Return the licence of the pretrained model in the hub's spelling, where it is known."""
    if model.from_scratch:
        return None
    if model.name in ASSETS:
        return ASSETS[model.name].licence.lower()
    path = Path(model.name).expanduser() / "README.md"
    if not path.is_file():
        return None
    from huggingface_hub import ModelCard

    try:
        found = ModelCard.load(path).data.get("license")
    except (ValueError, OSError):
        return None  # a card that cannot be read says nothing
    return found if isinstance(found, str) else None


def _loading(manifest: Manifest) -> str:
    lines = [
        "## How to use\n",
        "```console\n$ stagetree predict DIRECTORY texts.jsonl\n```\n",
        "```python\nfrom stagetree.models.load import load\n",
        'runner = load("DIRECTORY")',
        'batch = runner.tokenizer(["a text"], return_tensors="np")',
        "logits = runner.logits(batch)  # the last axis is runner.labels\n```\n",
    ]
    task = _PIPELINES.get(manifest.auto_class)
    if manifest.form == "huggingface" and task:
        lines += [
            "It opens with `transformers` too:\n",
            "```python\nfrom transformers import pipeline\n",
            f'pipeline("{task}", model="DIRECTORY")\n```\n',
        ]
    return "\n".join(lines)


def _data(pipeline: Pipeline, corpus: Corpus) -> str:
    asset = ASSETS.get(pipeline.data.kind)
    source = f" It has {asset.summary} ({asset.source}, {asset.licence})." if asset else ""
    return (
        f"## Data\n\n`{_dataset(pipeline, corpus)}` ({pipeline.data.kind}): "
        f"{len(corpus.train)} examples for training, {len(corpus.validation)} for validation; "
        f"the test split was not read.{source} Fingerprint `{pipeline.data_fingerprint[:16]}`.\n"
    )


def _scores(record: Record) -> str:
    sizes = {name: record.metrics[name] for name in _SIZES if name in record.metrics}
    rows = [f"| {name} | {value:g} |" for name, value in _quality(record).items()]
    rows += [f"| {name} | {value:.0f} |" for name, value in sizes.items()]
    text = "## Scores on the validation split\n\n| metric | value |\n|---|---|\n" + "\n".join(rows)
    if not record.per_class:
        return text + "\n"
    names = list(dict.fromkeys(name for row in record.per_class.values() for name in row))
    text += f"\n\n| class | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
    return (
        text
        + "\n".join(
            f"| {label} | {' | '.join(_cell(row, name) for name in names)} |"
            for label, row in record.per_class.items()
        )
        + "\n"
    )


def _cell(row: Mapping[str, float], name: str) -> str:
    return f"{row[name]:.4g}" if name in row else ""


def _lineage(pipeline: Pipeline, node: Node) -> str:
    model = pipeline.model
    start = "random weights of the shape of" if model.from_scratch else "the pretrained model"
    name = _hub_id(model.name) or Path(model.name).name
    steps = [f"1. {start} `{name}`"]
    for number, step in enumerate(_ancestors(pipeline, node), start=2):
        roles = [f"{role} `{of.partition('@')[0]}`" for role, of in step.roles.items()]
        options = ", ".join(f"`{key}={value}`" for key, value in _options(step).items())
        steps.append(
            f"{number}. `{step.key}` ({step.stage.kind}, version {step.stage.VERSION}"
            f"{'; ' + ', '.join(roles) if roles else ''}), "
            f"{options or 'default options'}, seed {step.seed}; signature `{step.signature}`"
        )
    return "## How it came about\n\n" + "\n".join(steps) + "\n"


def _ancestors(pipeline: Pipeline, node: Node) -> Sequence[Node]:
    """Return a stage with all it builds on, in the order of the pipeline."""
    wanted = {node.name}
    for other in reversed(pipeline.nodes):
        if other.name in wanted:
            wanted.update(other.roles.values())
    return [other for other in pipeline.nodes if other.name in wanted]


def _options(node: Node) -> dict[str, str]:
    """Return the options of a stage that differ from its kind's defaults."""
    usual = result_fields(node.stage.Config())
    return {
        name: _plain(value)
        for name, value in node.fields.items()
        if name not in ("kind", "input") and usual.get(name) != value
    }


def _plain(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    return json.dumps(value, default=lambda item: getattr(item, "name", str(item)))
