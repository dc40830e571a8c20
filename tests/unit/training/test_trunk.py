from __future__ import annotations

import logging
import shutil
from typing import Any, ClassVar

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    RobertaConfig,
)

from stagetree.training.config import Phase
from stagetree.training.freezing import encoder_layers
from stagetree.training.objectives import CrossEntropy

PHASES = [Phase(0.35, 0), Phase(0.7, 1), Phase(1.0)]
_SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "num_labels": 3,
    "pad_token_id": 0,
}
_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
FAMILIES = {
    "bert": BertConfig(**_SIZES, **_BERT),
    "distilbert": DistilBertConfig(**_SIZES, dim=32, n_layers=3, n_heads=2, hidden_dim=64),
    "electra": ElectraConfig(**_SIZES, **_BERT, embedding_size=16),
    "roberta": RobertaConfig(**_SIZES, **_BERT),
}


class Looking(CrossEntropy):
    asks: ClassVar[dict[str, bool]] = {"output_hidden_states": True}


@pytest.fixture
def build():
    def make(family: str = "bert"):
        torch.manual_seed(0)
        return AutoModelForTokenClassification.from_config(FAMILIES[family])

    return make


@pytest.fixture
def calls(build):
    """Make a model that counts how often its embeddings are computed."""

    def make():
        model, count = build(), [0]
        model.base_model.embeddings.word_embeddings.register_forward_hook(
            lambda *args: count.__setitem__(0, count[0] + 1)
        )
        return model, count

    return make


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("arithmetic", ["fp32", "bf16"])
def test_reuse_changes_no_number(build, run, heard, weights, difference, family, arithmetic):
    models, contexts = [build(family), build(family)], []
    for model, reuse in zip(models, (True, False), strict=True):
        contexts.append(heard(str(reuse), numerics=arithmetic))
        run(model, contexts[-1], unfreeze=PHASES, reuse=reuse)
    assert difference(*map(weights, models)) == 0
    assert contexts[0].evaluations == contexts[1].evaluations
    assert contexts[0].steps == contexts[1].steps
    assert list(contexts[0].cache.rglob("*.npy"))
    assert not contexts[1].cache.exists()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_without_dropout_it_is_training_as_usual(build, run, heard, weights, difference, family):
    models = [build(family), build(family)]
    for model, usual in zip(models, (True, False), strict=True):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        phases = [Phase(phase.until, phase.layers, usual) for phase in PHASES]
        context = heard(str(usual))
        run(model, context, unfreeze=phases, evaluations=1, adam_epsilon=1e-3)
        assert context.cache.exists() != usual
    assert difference(*map(weights, models)) < 1e-4


def test_reuse_under_a_head_that_reads_whole_texts(run, heard, weights, difference):
    class Pooling(CrossEntropy):
        def __call__(self, outputs, labels, batch):
            return super().__call__(outputs, labels.amax(1), batch)

    results = []
    for reuse in (True, False):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(FAMILIES["bert"])
        context = heard(str(reuse))
        run(model, context, Pooling(), unfreeze=PHASES, reuse=reuse, evaluations=1)
        results.append(weights(model))
        assert context.cache.exists() == reuse
    assert difference(*results) == 0


def test_reuse_changes_no_number_in_micro_batches(build, run, heard, weights, difference):
    models = [build(), build()]
    for model, reuse in zip(models, (True, False), strict=True):
        run(
            model,
            heard(str(reuse)),
            unfreeze=PHASES,
            reuse=reuse,
            micro_batch_size=2,
            evaluations=1,
        )
    assert difference(*map(weights, models)) == 0


@pytest.mark.parametrize("lost", [False, True])
def test_resume_inside_a_reusing_phase(build, run, heard, weights, difference, lost):
    whole, cut = build(), build()
    options = {"unfreeze": PHASES, "evaluations": 10}
    run(whole, heard("whole"), **options)

    def interrupt(fraction):
        if fraction == 0.5:
            raise KeyboardInterrupt

    context = heard("cut", interrupt=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(cut, context, **options)
    if lost:
        for path in context.cache.rglob("*.npy"):
            path.unlink()
    cut = build()
    run(cut, heard("cut"), **options)
    assert difference(weights(whole), weights(cut)) == 0


def test_trunk_runs_once_a_row(calls, run, heard, train_rows, validation_rows):
    model, count = calls()
    run(model, heard(), unfreeze=[Phase(1.0, 1)])
    assert count == [len(train_rows) + len(validation_rows)]


def test_trials_with_the_same_trunk_share_one_fill(calls, run, heard):
    run(calls()[0], heard(), unfreeze=[Phase(1.0, 1)])
    files = {path: path.stat().st_ino for path in heard().cache.rglob("*.npy")}
    for path in heard().scratch.glob("*"):
        if path.name != "cache":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    model, count = calls()
    run(model, heard(), unfreeze=[Phase(1.0, 1)], learning_rate=1e-3, dropout=0.3)
    assert count == [0]
    assert {path: path.stat().st_ino for path in heard().cache.rglob("*.npy")} == files


def test_trunk_keeps_its_weights_and_trains_when_thawed(build, run, heard, weights):
    before, frozen, thawed = weights(build()), build(), build()
    run(frozen, heard("frozen"), unfreeze=[Phase(1.0, 1)])
    run(thawed, heard("thawed"), unfreeze=PHASES, evaluations=1)
    for name, value in weights(frozen).items():
        trunk = "embeddings" in name or "layer.0" in name or "layer.1" in name
        assert torch.equal(value, before[name]) == trunk, name
    assert not torch.equal(
        weights(thawed)["bert.encoder.layer.0.output.dense.weight"],
        before["bert.encoder.layer.0.output.dense.weight"],
    )
    assert all("forward" not in vars(layer) for layer in encoder_layers(thawed))


def test_too_little_room_is_told_once_and_changes_no_number(
    build, run, heard, weights, difference, caplog
):
    models = [build(), build()]
    run(models[0], heard("room"), unfreeze=PHASES)
    with caplog.at_level(logging.WARNING):
        run(models[1], heard("none"), unfreeze=PHASES, reuse_gb=1e-6)
    assert difference(*map(weights, models)) == 0
    assert [record.message for record in caplog.records if "reuse_gb" in record.message][1:] == []
    assert "raise reuse_gb" in caplog.text
    assert not list(heard("none").cache.rglob("*.npy"))


def test_dropout_of_frozen_layers_is_a_choice(calls, run, heard, weights, difference):
    dropping, count = calls()
    still, _ = calls()
    run(dropping, heard("dropping"), unfreeze=[Phase(1.0, 1, frozen_dropout=True)])
    run(still, heard("still"), unfreeze=[Phase(1.0, 1)])
    assert count[0] > 0
    assert not heard("dropping").cache.exists()
    assert difference(weights(dropping), weights(still)) > 0


def test_losses_that_look_inside_run_every_layer(build, run, heard, weights, difference):
    models = [build(), build()]
    for model, reuse in zip(models, (True, False), strict=True):
        context = heard(str(reuse))
        run(model, context, Looking(), unfreeze=PHASES, reuse=reuse)
        assert not context.cache.exists()
    assert difference(*map(weights, models)) == 0
