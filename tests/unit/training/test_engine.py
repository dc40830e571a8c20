from __future__ import annotations

import json
import time

import pytest
import torch

from stagetree.core.errors import TrialFailed, TrialPruned
from stagetree.core.interrupt import Terminated
from stagetree.training.config import Phase, Schedule


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def killer(at):
    def interrupt(fraction):
        if fraction == at:
            raise Killed

    return interrupt


def test_learns_and_tells(make_model, heard, run):
    context = heard()
    best = run(make_model(), context, epochs=8, evaluations=4)
    assert best["accuracy"] > 0.9
    assert [fraction for fraction, _ in context.evaluations] == [0.25, 0.5, 0.75, 1.0]
    assert best["accuracy"] == max(metrics["accuracy"] for _, metrics in context.evaluations)
    assert all(metrics["loss"] > 0 for _, metrics in context.evaluations)
    assert context.steps[-1][:2] == (80, 80)
    assert context.steps[-1][2]["loss"] < context.steps[0][2]["loss"]


def test_same_seed_same_weights_and_other_seed_other_weights(
    make_model, heard, run, weights, difference
):
    ends = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        model = make_model()
        run(model, heard(name, seed=seed))
        ends.append(weights(model))
    assert difference(ends[0], ends[1]) == 0.0
    assert difference(ends[0], ends[2]) > 0.0


@pytest.mark.parametrize("at", [0.4, 0.6])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"micro_batch_size": 2},
        {"unfreeze": [Phase(0.3, 0), Phase(0.7, 1), Phase(1.0)], "layer_decay": 0.8},
        {"schedule": Schedule.warmup_stable_decay},
    ],
    ids=["plain", "accumulation", "unfreezing", "wsd"],
)
def test_resume_is_exact(make_model, heard, run, weights, difference, at, options):
    options = {"epochs": 2.5, "evaluations": 5, **options}
    whole, straight = make_model(), heard("whole")
    run(whole, straight, **options)

    context = heard("cut", interrupt=killer(at))
    with pytest.raises(Killed):
        run(make_model(), context, **options)
    torch.manual_seed(99)
    again, resumed = heard("cut"), make_model()
    run(resumed, again, **options)

    assert difference(weights(whole), weights(resumed)) == 0.0
    told = dict(context.evaluations) | dict(again.evaluations)
    assert told == dict(straight.evaluations)


@pytest.mark.parametrize("at", [3, 14])
def test_resume_from_between_evaluations_is_exact(
    make_model, heard, run, weights, difference, monkeypatch, at
):
    options = {"epochs": 2.5, "evaluations": 3, "micro_batch_size": 4}
    whole, straight = make_model(), heard("whole")
    run(whole, straight, **options)

    context = heard("cut")
    asked = "stagetree.training.pause.stopping"
    monkeypatch.setattr(asked, lambda: context.steps[-1][0] >= at)
    with pytest.raises(Terminated):
        run(make_model(), context, **options)
    monkeypatch.setattr(asked, lambda: False)
    torch.manual_seed(99)
    again, resumed = heard("cut"), make_model()
    run(resumed, again, **options)

    assert [step for step, *_ in context.steps + again.steps] == list(range(1, 26))
    assert difference(weights(whole), weights(resumed)) == 0.0
    assert context.evaluations + again.evaluations == straight.evaluations


def test_pruned_trial_is_not_told_twice(make_model, heard, run):
    def prune(fraction):
        if fraction == 0.5:
            raise TrialPruned("behind its peers")

    with pytest.raises(TrialPruned):
        run(make_model(), heard(interrupt=prune), evaluations=4)
    again = heard()
    run(make_model(), again, evaluations=4)
    assert [fraction for fraction, _ in again.evaluations] == [0.75, 1.0]


def test_finished_stage_is_not_trained_again(make_model, heard, run, weights, difference):
    model, again = make_model(), make_model()
    best = run(model, heard())
    context = heard()
    assert run(again, context) == best
    assert context.steps == context.evaluations == []
    assert difference(weights(model), weights(again)) == 0.0


@pytest.mark.parametrize("damage", ["cut", "flip", "manifest", "missing"])
def test_damaged_checkpoint_restarts_the_stage(
    make_model, heard, run, weights, difference, damage, caplog
):
    whole = make_model()
    run(whole, heard("whole"))
    with pytest.raises(Killed):
        run(make_model(), heard("cut", interrupt=killer(0.4)))
    [directory] = (heard("cut").scratch / "checkpoints").glob("step-*")
    file = directory / ("checkpoint.json" if damage == "manifest" else "optimizer.safetensors")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[: len(content) // 2])

    context, model = heard("cut"), make_model()
    run(model, context)
    assert "damaged" in caplog.text
    assert len(context.evaluations) == 5
    assert difference(weights(whole), weights(model)) == 0.0


def test_checkpoint_holds_no_pickle(make_model, heard, run):
    with pytest.raises(Killed):
        run(make_model(), heard(interrupt=killer(0.4)))
    files = [path for path in heard().scratch.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())


def test_best_weights_stay(make_model, heard, run, weights, difference):
    kept = {}
    model, context = make_model(), heard()

    def layers():  # in training the table of words holds fewer rows
        return {name: value for name, value in weights(model).items() if "word" not in name}

    def keep(fraction):
        kept[fraction] = layers()

    context.interrupt = keep
    best = run(model, context, learning_rate=3e-2, epochs=4, evaluations=8)
    values = [metrics["accuracy"] for _, metrics in context.evaluations]
    chosen = context.evaluations[values.index(max(values))]
    assert best == chosen[1]
    assert difference(layers(), kept[chosen[0]]) == 0.0


def test_patience_stops_early_and_stays_stopped(make_model, heard, run):
    context = heard()
    options = {"learning_rate": 1e-12, "evaluations": 10, "patience": 2, "epochs": 5}
    run(make_model(), context, **options)
    assert [fraction for fraction, _ in context.evaluations] == [0.1, 0.2, 0.3]
    again = heard()
    run(make_model(), again, **options)
    assert again.evaluations == again.steps == []


def test_loss_that_is_not_a_number_fails_the_trial(make_model, heard, run):
    with pytest.raises(TrialFailed, match=r"loss is (nan|inf) at step .* learning_rate=1e\+30"):
        run(make_model(), heard(), learning_rate=1e30, warmup=0.0)


def test_micro_batches_change_nothing_but_rounding(make_model, heard, run, weights, difference):
    ends = []
    for micro in (0, 4, 2):
        model = make_model(dropout=0.0)
        run(model, heard(f"m{micro}"), micro_batch_size=micro, epochs=1)
        ends.append(weights(model))
    assert difference(ends[0], ends[1]) < 1e-4
    assert difference(ends[0], ends[2]) < 1e-4


def test_frozen_parameters_do_not_move(make_model, heard, run, weights):
    model = make_model()
    before = weights(model)
    run(model, heard(), unfreeze=[Phase(1.0, 1)], weight_decay=0.5)
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert moved
    assert all(".layer.1." in name or name.startswith("classifier") for name in moved)
    assert all(weight.requires_grad for weight in model.parameters())


def test_precisions_take_turns_in_one_process(make_model, heard, run):
    losses = {}
    for arithmetic in ("fp32", "bf16", "fp32_fast", "fp32"):
        context = heard(f"{arithmetic}{len(losses)}", numerics=arithmetic)
        losses.setdefault(arithmetic, []).append(run(make_model(), context)["loss"])
    assert losses["fp32"][0] == losses["fp32"][1]
    assert losses["bf16"][0] != losses["fp32"][0]
    assert losses["bf16"][0] == pytest.approx(losses["fp32"][0], abs=0.1)
    assert torch.get_float32_matmul_precision() == "highest"


def test_prints_nothing(make_model, heard, run, capfd):
    run(make_model(), heard())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_setting_up_is_cheap(make_model, heard, run):
    model = make_model(layers=1)
    options = {"max_steps": 1, "evaluations": 1}
    run(model, heard("warm"), **options)
    start = time.perf_counter()
    run(model, heard("timed"), **options)
    assert time.perf_counter() - start < 1.0


def test_only_the_last_checkpoint_is_kept(make_model, heard, run):
    context = heard()
    run(make_model(), context)
    [directory] = (context.scratch / "checkpoints").glob("*")
    manifest = json.loads((directory / "checkpoint.json").read_text())
    assert manifest["progress"]["evaluations"][-1]["fraction"] == 1.0
