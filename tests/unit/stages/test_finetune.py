from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ModelError
from stagetree.data.augment.base import AugmentConfig
from stagetree.models.load import load
from stagetree.stages.base import STAGES
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.training.config import AdversarialConfig, Attack, GoldLoss, LossConfig
from stagetree.training.evaluation import Evaluator
from stagetree.training.memory import BatchSize

WEAK = {"learning_rate": 5e-3, "epochs": 6.0, "batch_size": 8, "max_length": 32}


def test_is_a_stage_with_a_structured_config():
    assert STAGES["finetune"] is Finetune
    config = OmegaConf.to_object(OmegaConf.structured(FinetuneConfig))
    assert config == FinetuneConfig()
    assert (config.kind, config.input) == ("finetune", None)
    assert Finetune.roles(config, []) == {}


def test_faults_come_from_training():
    assert [fault.path for fault in Finetune.check(FinetuneConfig(epochs=-1), [])] == ["epochs"]


def test_result_scores_as_it_did_in_training(make_context, encode):
    context, evaluations = make_context("a")
    Finetune.run(FinetuneConfig(**WEAK), context)
    runner = load(context.output, numerics="fp32")
    scores, loss = Evaluator(
        context.task, runner.tokenizer, encode(context, runner), runner.labels, BatchSize(64, "")
    )(runner.logits)
    best = max((metrics for _, metrics in evaluations), key=lambda metrics: metrics["f1"])
    assert best["f1"] > 0.8
    assert dict(scores.metrics) == {name: best[name] for name in scores.metrics}
    assert loss == pytest.approx(best["loss"], abs=1e-6)


def test_goes_on_from_an_earlier_stage(make_context):
    first, evaluations = make_context("first")
    Finetune.run(FinetuneConfig(**WEAK), first)
    second, again = make_context("second", inputs={"input": first.output})
    Finetune.run(FinetuneConfig(**{**WEAK, "learning_rate": 1e-9, "evaluations": 1}), second)
    best = max(metrics["f1"] for _, metrics in evaluations)
    assert again[0][1]["f1"] == pytest.approx(best, abs=0.02)


def test_other_labels_are_refused(make_context, corpus_with_other_labels):
    first, _ = make_context("first")
    Finetune.run(FinetuneConfig(**{**WEAK, "max_steps": 1}), first)
    second, _ = make_context("second", inputs={"input": first.output})
    with pytest.raises(ModelError, match="expected the input of 'second' to have the labels"):
        Finetune.run(FinetuneConfig(**WEAK), replace(second, corpus=corpus_with_other_labels))


def test_losses_adversaries_and_augmentation_work_together(make_context):
    context, evaluations = make_context("a")
    options = {
        "loss": LossConfig(GoldLoss.focal, 1.0, "balanced"),
        "r_drop": 0.5,
        "l2_start": 1e-4,
        "adversarial": AdversarialConfig(Attack.fgm),
        "augment": AugmentConfig("mentions", 1, 0.5),
        "gradient_checkpointing": True,
    }
    Finetune.run(FinetuneConfig(**{**WEAK, "epochs": 4.0}, **options), context)
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.8
