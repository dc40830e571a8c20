from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ModelError
from stagetree.data.augment.base import AugmentConfig
from stagetree.models.load import load
from stagetree.stages.base import STAGES, Upstream
from stagetree.stages.distill import Distill, DistillConfig
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.training.config import Phase
from stagetree.training.distill_config import StudentConfig

WEAK = {"learning_rate": 5e-3, "epochs": 6.0, "batch_size": 8, "max_length": 32}
BEFORE = [Upstream("finetune", "finetune"), Upstream("other", "finetune")]


@pytest.fixture(scope="module")
def teacher(make_context):
    context, _ = make_context("teacher")
    Finetune.run(FinetuneConfig(**WEAK), context)
    return context.output


def test_is_a_stage_with_a_structured_config():
    assert STAGES["distill"] is Distill
    config = OmegaConf.to_object(OmegaConf.structured(DistillConfig))
    assert config == DistillConfig()
    assert isinstance(config.student, StudentConfig)


def test_roles_name_teacher_then_input():
    def roles(**options):
        return list(Distill.roles(DistillConfig(**options), BEFORE).items())

    assert roles() == [("teacher", "other"), ("input", "other")]
    assert roles(teacher="finetune") == [("teacher", "finetune"), ("input", "other")]
    assert roles(input="finetune") == [("teacher", "finetune"), ("input", "finetune")]


def test_faults_come_at_once_and_name_the_nearest_teacher():
    config = DistillConfig(
        teacher="fintune",
        temperature=0.0,
        alpha=1.5,
        learning_rate=0.0,
        student=StudentConfig(layers=-1, keep=[2, 1], overrides={"a": 1}),
    )
    found = {fault.path: fault.message for fault in Distill.check(config, BEFORE)}
    assert "Did you mean 'finetune'" in found["teacher"]
    assert {"temperature", "alpha", "learning_rate", "student.layers", "student.keep"} < set(found)
    assert "student.overrides" in found
    assert Distill.check(DistillConfig(teacher="finetune"), BEFORE) == []


def test_compressed_input_cannot_be_a_student():
    before = [*BEFORE, Upstream("quantize", "quantize")]
    [fault] = Distill.check(DistillConfig(), before)
    assert (fault.path, "trained" in fault.message) == ("input", True)
    assert Distill.check(DistillConfig(student=StudentConfig(model="minilm_l6")), before) == []


@pytest.mark.parametrize("student", [StudentConfig(layers=1), StudentConfig(keep=[1])])
def test_shallow_student_learns_the_teachers_answers(make_context, teacher, encode, student):
    context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
    Distill.run(DistillConfig(**WEAK, alpha=1.0, student=student), context)
    taught, runner = load(teacher, numerics="fp32"), load(context.output, numerics="fp32")
    assert runner.parameters < taught.parameters
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.7
    [answers] = (context.scratch / "shared").glob("answers-*")
    kept = np.load(answers / "logits.npy")
    rows = encode(context, taught, "train")
    labelled = sum(label != -100 for labels in rows["labels"] for label in labels)
    assert kept.shape == (labelled, len(taught.labels))


def test_alpha_zero_without_a_teacher_is_finetuning(make_context, teacher):
    curves = []
    for name, run in (
        (
            "distill",
            lambda context: Distill.run(
                DistillConfig(**WEAK, alpha=0.0, student=StudentConfig(layers=0)), context
            ),
        ),
        ("finetune", lambda context: Finetune.run(FinetuneConfig(**WEAK), context)),
    ):
        context, evaluations = make_context(name, {"teacher": teacher, "input": teacher})
        run(context)
        curves.append([metrics["loss"] for _, metrics in evaluations])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


def test_other_labels_are_refused(make_context, teacher, corpus_with_other_labels, base_dir):
    context, _ = make_context("student", {"teacher": teacher, "input": teacher})
    config = DistillConfig(**WEAK, student=StudentConfig(model=str(base_dir)))
    with pytest.raises(ModelError, match="expected the teacher of 'student' to have the labels"):
        Distill.run(config, replace(context, corpus=corpus_with_other_labels))


def test_too_many_layers_are_refused(make_context, teacher):
    context, _ = make_context("student", {"teacher": teacher, "input": teacher})
    with pytest.raises(ModelError, match="at most 2"):
        Distill.run(DistillConfig(**WEAK, student=StudentConfig(layers=5)), context)


def test_reuse_of_frozen_layers_changes_no_number(teacher, make_context):
    results = []
    for reuse in (True, False):
        context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
        phases = [Phase(0.5, 0), Phase(1.0)]
        student = StudentConfig(layers=0)
        Distill.run(DistillConfig(**WEAK, unfreeze=phases, reuse=reuse, student=student), context)
        results.append(((context.output / "model.safetensors").read_bytes(), evaluations))
    assert results[0] == results[1]


def test_the_teacher_speaks_on_augmented_examples_too(make_context, teacher):
    context, evaluations = make_context("student", inputs={"teacher": teacher, "input": teacher})
    augment = AugmentConfig("drop_words", 1, 0.3)
    Distill.run(DistillConfig(**WEAK, augment=augment), context)
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.8
    taught = np.load(context.scratch / "teacher" / "logits.npy")
    words = sum(len(tokens) for tokens in context.corpus.train["tokens"])
    assert 1.5 * words < len(taught) < 2 * words
