"""Fitting a stage when memory runs out: an objective really asks for more than there is."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file

from stagetree.core.errors import OutOfMemory
from stagetree.data.corpus import Corpus
from stagetree.training.config import TrainingConfig
from stagetree.training.fit import fit
from stagetree.training.learner import Learner, Start
from stagetree.training.limits import FILE
from stagetree.training.objectives import CrossEntropy

OPTIONS: dict[str, Any] = {"epochs": 2.5, "batch_size": 8, "learning_rate": 3e-3}


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


@dataclass
class Hungry:
    """Cross entropy for which memory holds ``room`` examples, from its ``after``-th call on."""

    room: int
    after: int = 0
    calls: int = 0
    refused: list[int] = field(default_factory=list)

    asks: ClassVar = {}

    def __call__(self, outputs: Any, labels: torch.Tensor, batch: Any) -> torch.Tensor:
        self.calls += 1
        if self.calls > self.after and len(outputs.logits) > self.room:
            self.refused.append(len(outputs.logits))
            torch.empty(1 << 50)
        return CrossEntropy()(outputs, labels, batch)


@dataclass
class Surroundings:
    """A stage's context that keeps what it hears."""

    root: Path
    cache: Path
    task: Any
    corpus: Corpus
    name: str = "tag"
    seed: int = 5
    numerics: str = "fp32"
    killed_at: float = 0.0
    trunks: Any = None
    told: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scratch, self.output = self.root / "scratch", self.root / "output"
        for directory in (self.scratch, self.output):
            directory.mkdir(parents=True, exist_ok=True)

    def stepped(self, step: int, total: int, logs: Any) -> None:
        pass

    def evaluated(self, fraction: float, metrics: Any) -> None:
        self.told.append((fraction, dict(metrics)))
        if fraction == self.killed_at:
            raise Killed

    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.output / "model.safetensors")


@pytest.fixture
def around(tmp_path, task, train_rows, validation_rows):
    corpus = Corpus("tags", train_rows, validation_rows, validation_rows, "tags-1")

    def make(name, cache="cache", **options):
        return Surroundings(tmp_path / name, tmp_path / cache, task, corpus, **options)

    return make


@pytest.fixture
def start(make_model, tokenizer):
    """A start that also tells how often it built, and that what it built before is gone."""
    built: list[weakref.ref[Any]] = []

    def build():
        assert not built or built[-1]() is None
        model = make_model()
        built.append(weakref.ref(model))
        return Learner(model, tokenizer, ["O", "B-X", "I-X"])

    return Start({"kind": "tag"}, build), built


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("batch_size", "room", "refused", "fits"),
    [(8, 4, [8], 4), (8, 3, [8, 4], 2), (8, 1, [8, 4, 2], 1), (12, 5, [12, 6], 3)],
)
def test_a_smaller_micro_batch_gives_what_it_would_have_given_from_the_start(
    around, start, batch_size, room, refused, fits
):
    options = {**OPTIONS, "batch_size": batch_size}
    asked = around("asked", "other")
    fit(start[0], TrainingConfig(**options, micro_batch_size=fits), CrossEntropy(), asked)
    hungry, context = Hungry(room), around("hungry")
    fit(start[0], TrainingConfig(**options), hungry, context)
    assert hungry.refused == refused
    assert same(context.weights(), asked.weights())
    assert context.told == asked.told
    assert len(context.told) == 5


def test_what_fitted_is_remembered_by_later_stages(around, start):
    first, second = Hungry(2), Hungry(2)
    contexts = [around("first"), around("second")]
    for hungry, context in zip((first, second), contexts, strict=True):
        fit(start[0], TrainingConfig(**OPTIONS), hungry, context)
    assert (first.refused, second.refused) == ([8, 4], [])
    assert same(*(context.weights() for context in contexts))
    smaller = Hungry(8)
    fit(start[0], TrainingConfig(**OPTIONS, micro_batch_size=1), smaller, around("smaller"))
    assert smaller.calls > second.calls
    other = Hungry(2)
    fit(start[0], TrainingConfig(**{**OPTIONS, "max_length": 64}), other, around("other"))
    assert other.refused == [8, 4]


def test_training_goes_on_from_the_last_checkpoint(around, start):
    plain = TrainingConfig(**OPTIONS)
    halved = TrainingConfig(**OPTIONS, micro_batch_size=4)
    cut = around("cut", "other", killed_at=0.4)
    with pytest.raises(Killed):
        fit(start[0], plain, CrossEntropy(), cut)
    resumed = around("cut", "other")
    fit(start[0], halved, CrossEntropy(), resumed)

    hungry, context = Hungry(4, after=12), around("hungry")  # evaluations come every 5 steps
    fit(start[0], plain, hungry, context)
    assert hungry.refused == [8]
    assert same(context.weights(), resumed.weights())
    assert dict(context.told) == dict(cut.told) | dict(resumed.told)
    assert len(context.told) == 5


def test_what_never_fits_is_said_and_not_tried_for_ever(around, start):
    begin, built = start
    config = TrainingConfig(**OPTIONS)
    hungry = Hungry(0)
    message = (
        r"stage 'tag' does not fit into the memory of .* GiB\), not even one example at a time "
        r"\(batch_size=8, max_length=128\): .*lower stages\.tag\.max_length or use a smaller model"
    )
    for refused in ([8, 4, 2, 1], [8, 4, 2, 1, 1]):
        with pytest.raises(OutOfMemory, match=message):
            fit(begin, config, hungry, around("a"))
        assert hungry.refused == refused
    builds = len(built)
    context = around("b")
    with pytest.raises(OutOfMemory, match=r"2 attempts .* delete .*memory_limits\.json to try"):
        fit(begin, config, hungry, context)
    assert len(built) == builds
    (context.cache / FILE).unlink()
    fit(begin, config, Hungry(8), context)
    assert len(context.told) == 5


def test_a_success_clears_earlier_failures(around, start):
    config = TrainingConfig(**OPTIONS)
    for room in (0, 1, 0, 1):
        context = around(f"room {room}")
        if room:
            fit(start[0], config, Hungry(room), context)
        else:
            with pytest.raises(OutOfMemory):
                fit(start[0], config, Hungry(room), context)


def test_evaluation_is_halved_on_its_own_and_remembered(around, start, tokenizer, make_model):
    calls: list[int] = []

    class Narrow(torch.nn.Module):
        """Memory holds five examples in evaluation."""

        def forward(self, module, inputs):
            rows = len(inputs[0])
            if not module.training:
                calls.append(rows)
                if rows > 5:
                    torch.empty(1 << 50)

    def build():
        model = make_model()
        model.dropout.register_forward_pre_hook(Narrow().forward)
        return Learner(model, tokenizer, ["O", "B-X", "I-X"])

    config = TrainingConfig(**OPTIONS, eval_batch_size=20)
    for name, refused in (("first", [20, 10]), ("second", [])):
        calls.clear()
        context = around(name)
        fit(Start({"kind": "narrow"}, build), config, CrossEntropy(), context)
        assert [rows for rows in calls if rows > 5] == refused
    asked = around("asked", "other")
    small = TrainingConfig(**OPTIONS, eval_batch_size=5)
    fit(start[0], small, CrossEntropy(), asked)
    assert asked.told == context.told
    assert same(asked.weights(), context.weights())


def test_where_memory_suffices_nothing_is_written(around, start):
    context = around("a")
    fit(start[0], TrainingConfig(**OPTIONS), CrossEntropy(), context)
    assert {path.name for path in context.cache.iterdir()} == {"encoded"}


def test_other_errors_are_not_tried_again(around, start):
    class Broken(CrossEntropy):
        def __call__(self, outputs, labels, batch):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(start[0], TrainingConfig(**OPTIONS), Broken(), around("a"))
    assert len(start[1]) == 1


def test_says_what_it_goes_on_with(around, start, caplog):
    fit(start[0], TrainingConfig(**OPTIONS), Hungry(4), around("a"))
    expected = "stages.tag.micro_batch_size=8 does not fit into memory, going on with 4"
    assert [record.message for record in caplog.records] == [expected]
