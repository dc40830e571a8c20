"""Fine-tune, prune, distil, int8 as the documentation of transformers and PyTorch shows them.

What a user without a framework writes: ``transformers.Trainer`` with its defaults (fp32, random
batches, dynamic padding by ``DataCollatorForTokenClassification``, a score after each epoch), a
subclass of it for distillation, ``prune_linear_layer`` and ``quantize_dynamic``. Every trial runs
every stage. Data and tokenizer are read once a process. Imports nothing of stagetree.
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from datasets import Dataset
from seqeval.metrics import f1_score
from torch import nn
from torch.ao import quantization
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.pytorch_utils import prune_linear_layer

Report = Callable[[float], None]


class Chain:
    """The pipeline on one pair of CoNLL files.

    Args:
        settings: ``model``, ``train``, ``validation``, ``labels``, ``epochs``, ``recovery`` (epochs
            of distillation), ``layers`` and ``heads`` (that stay), ``batch``, ``folder``, ``fixed``
            (values of what is not searched).
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._tokenizer = AutoTokenizer.from_pretrained(settings["model"])
        train, validation = (_conll(Path(settings[name])) for name in ("train", "validation"))
        self._labels: list[str] = settings["labels"]
        self._train, self._validation = self._encode(*train), self._encode(*validation)

    def __call__(self, params: Mapping[str, Any], seed: int, report: Report | None = None) -> float:
        """Run all stages and return the F1 of the int8 model.

        Args:
            params: Values of the search space; what it lacks is ``fixed``.
            seed: Seed of the new head and of the batches.
            report: Hears of the F1 after each epoch, and may raise to end the trial. By default
                nobody asks, so that nothing is scored before the end.
        """
        params = {**self._settings["fixed"], **params}
        teacher = self._finetune(params, seed, report)
        student = cut(teacher, self._settings["layers"], self._settings["heads"], params["ffn"])
        self._distill(student, teacher, params, seed, report)
        return self._score(to_int8(student, params["per_channel"], params["embeddings"]))

    def _finetune(self, params: Mapping[str, Any], seed: int, report: Report | None) -> Any:
        transformers.set_seed(seed)
        names = dict(enumerate(self._labels))
        model = AutoModelForTokenClassification.from_pretrained(
            self._settings["model"], id2label=names, label2id={y: x for x, y in names.items()}
        )
        rate, epochs = params["finetune_rate"], self._settings["epochs"]
        self._trainer(Trainer, model, seed, rate, epochs, report).train()
        return model

    def _distill(
        self,
        student: Any,
        teacher: Any,
        params: Mapping[str, Any],
        seed: int,
        report: Report | None,
    ) -> None:
        kind = functools.partial(
            DistillationTrainer,
            teacher=teacher.eval(),
            temperature=params["temperature"],
            alpha=params["alpha"],
        )
        rate, epochs = params["distill_rate"], self._settings["recovery"]
        self._trainer(kind, student, seed, rate, epochs, report).train()

    def _score(self, model: Any) -> float:
        trainer = self._trainer(Trainer, model, 0, 0.0, 1, None)
        return float(trainer.evaluate()["eval_f1"])

    def _trainer(
        self,
        kind: Callable[..., Trainer],
        model: Any,
        seed: int,
        rate: float,
        epochs: float,
        report: Report | None,
    ) -> Trainer:
        arguments = TrainingArguments(
            output_dir=self._settings["folder"],
            learning_rate=rate,
            num_train_epochs=epochs,
            per_device_train_batch_size=self._settings["batch"],
            warmup_steps=0.1,
            weight_decay=0.01,
            eval_strategy="epoch" if report else "no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        trainer = kind(
            model=model,
            args=arguments,
            train_dataset=self._train,
            eval_dataset=self._validation,
            data_collator=DataCollatorForTokenClassification(self._tokenizer),
            compute_metrics=self._metrics,
            callbacks=[Reporting(report)] if report else None,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer

    def _metrics(self, predicted: Any) -> dict[str, float]:
        pairs = [
            [(said, gold) for said, gold in zip(*row, strict=True) if gold != -100]
            for row in zip(predicted.predictions.argmax(-1), predicted.label_ids, strict=True)
        ]
        said, gold = ([[self._labels[p[i]] for p in row] for row in pairs] for i in (0, 1))
        return {"f1": float(f1_score(gold, said))}

    def _encode(self, sentences: list[list[str]], tags: list[list[str]]) -> Dataset:
        numbers = {label: number for number, label in enumerate(self._labels)}
        encoded = self._tokenizer(
            sentences, truncation=True, max_length=128, is_split_into_words=True
        )
        labels = []
        for row, names in enumerate(tags):
            words: list[int | None] = encoded.word_ids(row)
            before = [None, *words[:-1]]
            labels.append(
                [
                    -100 if word is None or word == last else numbers[names[word]]
                    for word, last in zip(words, before, strict=True)
                ]
            )
        return Dataset.from_dict({**encoded, "labels": labels})


class Reporting(TrainerCallback):
    """Tells the search of every score."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the F1."""
        if state.global_step:
            self._report(kwargs["metrics"]["eval_f1"])


class DistillationTrainer(Trainer):
    """Learns a teacher's outputs and the gold labels (Hinton et al. 2015)."""

    def __init__(self, *, teacher: Any, temperature: float, alpha: float, **options: Any) -> None:
        super().__init__(**options)
        self._teacher, self._temperature, self._alpha = teacher, temperature, alpha

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **options: Any
    ) -> Any:
        """Mix the loss on gold labels with the divergence from the teacher."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        if not model.training:
            return (loss, outputs) if return_outputs else loss
        counted = inputs["labels"] != -100
        with torch.no_grad():
            taught = self._teacher(**{k: v for k, v in inputs.items() if k != "labels"}).logits
        soft = self._temperature
        divergence = F.kl_div(
            F.log_softmax(outputs.logits[counted] / soft, -1),
            F.log_softmax(taught[counted] / soft, -1),
            log_target=True,
            reduction="batchmean",
        )
        loss = self._alpha * soft**2 * divergence + (1 - self._alpha) * loss
        return (loss, outputs) if return_outputs else loss


def cut(teacher: Any, layers: int, heads: float, ffn: float) -> Any:
    """Return a copy with evenly spread layers and the heaviest heads and feed-forward units."""
    model = copy.deepcopy(teacher)
    stack = model.base_model.encoder
    last = len(stack.layer) - 1
    chosen = [round(place * last / (layers - 1)) for place in range(layers)]
    stack.layer = nn.ModuleList([stack.layer[place] for place in chosen])
    model.config.num_hidden_layers = layers
    for layer in stack.layer:
        _cut_heads(layer.attention, heads)
        inner, outer = layer.intermediate, layer.output
        norms = inner.dense.weight.norm(dim=1) ** 2 + outer.dense.weight.norm(dim=0) ** 2
        stay = norms.topk(int(ffn * len(norms)) // 8 * 8).indices.sort().values
        inner.dense = prune_linear_layer(inner.dense, stay)
        outer.dense = prune_linear_layer(outer.dense, stay, dim=1)
    return model


def _cut_heads(attention: Any, share: float) -> None:
    inside, output = attention.self, attention.output
    size, count = inside.attention_head_size, inside.num_attention_heads
    parts = (inside.query, inside.key, inside.value)
    norms = sum((part.weight.view(count, -1) ** 2).sum(1) for part in parts)
    norms = norms + (output.dense.weight.t().reshape(count, -1) ** 2).sum(1)
    keep = max(1, round(share * count))
    heads = norms.topk(keep).indices.sort().values
    stay = (heads[:, None] * size + torch.arange(size)).flatten()
    for name in ("query", "key", "value"):
        setattr(inside, name, prune_linear_layer(getattr(inside, name), stay))
    output.dense = prune_linear_layer(output.dense, stay, dim=1)
    inside.num_attention_heads, inside.all_head_size = keep, keep * size


def to_int8(model: Any, per_channel: bool, embeddings: bool) -> Any:
    """Return the model with int8 matrices, as PyTorch's recipe for dynamic quantisation does."""
    chosen = "per_channel_dynamic_qconfig" if per_channel else "default_dynamic_qconfig"
    recipe = {nn.Linear: getattr(quantization, chosen)}
    if embeddings:
        recipe[nn.Embedding] = quantization.float_qparams_weight_only_qconfig
    return quantization.quantize_dynamic(model.eval(), recipe)


def _conll(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    sentences, tags = [], []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        words, names = zip(*(line.split("\t") for line in block.splitlines()), strict=True)
        sentences.append(list(words))
        tags.append(list(names))
    return sentences, tags


@functools.cache
def opened(settings: str) -> Chain:
    """Return the chain of a JSON file; a process reads and tokenises its data once."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    return Chain(json.loads(Path(settings).read_text()))
