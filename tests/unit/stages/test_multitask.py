"""Fine-tuning and distilling several tasks at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stagetree.core.errors import TrialPruned
from stagetree.data.corpus import Corpus
from stagetree.data.sources.multitask import joined
from stagetree.models.load import load
from stagetree.stages.distill import Distill, DistillConfig
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.tasks.classification import ClassificationConfig
from stagetree.tasks.multitask import MultitaskConfig, MultitaskTask, PartConfig
from stagetree.tasks.ner import NerConfig
from stagetree.training.evaluation import Evaluator
from stagetree.training.memory import BatchSize

OPTIONS = {"learning_rate": 2e-3, "epochs": 6.0, "batch_size": 8, "max_length": 32}


def _moods(count, seed):
    from datasets import Dataset

    generator = np.random.default_rng(seed)
    starts = (30 * generator.integers(0, 2, count)).tolist()
    rows = [start + generator.integers(0, 30, int(generator.integers(2, 12))) for start in starts]
    return Dataset.from_dict(
        {
            "text": [" ".join(f"word{number}" for number in row) for row in rows],
            "label": ["low" if row[0] < 30 else "high" for row in rows],
        }
    )


@pytest.fixture(scope="module")
def make_several(make_context):
    tasks = {
        "names": PartConfig(NerConfig()),
        "mood": PartConfig(ClassificationConfig(), weight=2.0),
    }
    moods = Corpus("mood", *(_moods(size, seed) for seed, size in enumerate((200, 40, 0))), "mood")

    def make(name, inputs=None):
        context, evaluations = make_context(name, inputs)
        corpus = joined({"names": context.corpus, "mood": moods}, "several")
        task = MultitaskTask(MultitaskConfig(tasks=tasks))
        return replace(context, task=task, corpus=corpus), evaluations

    return make


@pytest.fixture(scope="module")
def finetuned(make_several):
    context, evaluations = make_several("finetune")
    Finetune.run(FinetuneConfig(**OPTIONS), context)
    return context, evaluations


def weights(directory):
    return {name: value.clone() for name, value in load(directory).model.state_dict().items()}


def test_learns_every_task_and_scores_as_it_did_in_training(finetuned, encode):
    context, evaluations = finetuned
    best = max((metrics for _, metrics in evaluations), key=lambda metrics: metrics["mean"])
    assert best["names.f1"] > 0.8
    assert best["mood.macro_f1"] > 0.7
    assert best["mean"] == (best["names.f1"] + best["mood.macro_f1"]) / 2
    runner = load(context.output, numerics="fp32")
    scores, loss = Evaluator(
        context.task, runner.tokenizer, encode(context, runner), runner.labels, BatchSize(64, "")
    )(runner.logits)
    assert dict(scores.metrics) == {name: best[name] for name in scores.metrics}
    assert loss == pytest.approx(best["loss"], abs=1e-6)
    assert {name.partition(".")[0] for name in scores.per_class} == {"names", "mood"}


def test_an_interrupted_stage_ends_with_the_same_weights(finetuned, make_several):
    def stop(fraction, metrics):
        if fraction > 0.3:
            raise TrialPruned("stopped")

    context, _ = make_several("stopped")
    with pytest.raises(TrialPruned):
        Finetune.run(FinetuneConfig(**OPTIONS), replace(context, evaluated=stop))
    Finetune.run(FinetuneConfig(**OPTIONS), context)
    whole = weights(finetuned[0].output)
    assert all(torch.equal(value, whole[name]) for name, value in weights(context.output).items())


def test_micro_batches_and_smaller_evaluations_change_nothing_but_rounding(make_several):
    found = []
    for name, options in (("whole", {}), ("parts", {"micro_batch_size": 2, "eval_batch_size": 3})):
        context, evaluations = make_several(name)
        config = FinetuneConfig(**{**OPTIONS, "max_steps": 6, "dropout": 0.0, **options})
        Finetune.run(config, context)
        found.append(evaluations[-1][1]["loss"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_teacher_of_several_tasks_teaches_a_student_of_several(finetuned, make_several):
    teacher, _ = finetuned
    inputs = {"teacher": teacher.output, "input": teacher.output}
    context, evaluations = make_several("distill", inputs)
    Distill.run(DistillConfig(**{**OPTIONS, "epochs": 2.0, "alpha": 1.0}), context)
    assert max(metrics["mean"] for _, metrics in evaluations) > 0.8
    student = load(context.output)
    assert student.parameters < load(teacher.output).parameters
    assert list(student.labels) == list(load(teacher.output).labels)
