import contextlib

import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForMaskedLM, BertForTokenClassification

from stagetree.training import engine
from stagetree.training.vocabulary import WHOLE, compact

TABLE = "bert.embeddings.word_embeddings.weight"
OCCURRING = [5, 9, 11, 40, 41, 42, 43, 44, 59]
SPECIAL = [0, 1]


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def few_words(count, seed):
    """Rows of ``OCCURRING`` ids only."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(3, 20, (), generator=generator))
        places = torch.randint(len(OCCURRING), (length,), generator=generator)
        ids = [OCCURRING[place] for place in places]
        labels = [int(word % 3 == 0) for word in ids]
        rows.append(
            {"input_ids": ids, "attention_mask": [1] * length, "labels": labels, "length": length}
        )
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def train_rows():
    return few_words(75, seed=1)


@pytest.fixture(scope="module")
def validation_rows():
    return few_words(30, seed=2)


@pytest.fixture
def uncompacted(monkeypatch):
    """A context in which training keeps the whole table."""

    @contextlib.contextmanager
    def block():
        with monkeypatch.context() as patch:
            patch.setattr(engine, "compact", lambda *_: contextlib.nullcontext(WHOLE))
            yield

    return block


@pytest.mark.parametrize(("clip", "tolerance"), [(0.0, 0.0), (0.1, 1e-6)])
def test_equals_the_run_with_the_whole_table(
    make_model, heard, run, weights, difference, uncompacted, clip, tolerance
):
    options = {"max_grad_norm": clip, "weight_decay": 0.0}
    ours, theirs = make_model(), make_model()
    compacted, whole = heard("compact"), heard("whole")
    run(ours, compacted, **options)
    with uncompacted():
        run(theirs, whole, **options)
    assert difference(weights(ours), weights(theirs)) <= tolerance
    for one, other in zip(compacted.evaluations, whole.evaluations, strict=True):
        assert one[1]["loss"] == pytest.approx(other[1]["loss"], abs=tolerance)


def test_decays_the_rows_that_occur_as_ever_and_no_other(
    make_model, heard, run, weights, uncompacted
):
    options = {"max_grad_norm": 0.0, "weight_decay": 0.3}
    ours, theirs = make_model(), make_model()
    before = weights(ours)[TABLE]
    run(ours, heard("compact"), **options)
    with uncompacted():
        run(theirs, heard("whole"), **options)
    after, whole = weights(ours)[TABLE], weights(theirs)[TABLE]
    held = [*SPECIAL, *OCCURRING]
    rest = [row for row in range(len(before)) if row not in held]
    assert torch.equal(after[held], whole[held])
    assert not torch.equal(after[OCCURRING], before[OCCURRING])
    assert torch.equal(after[rest], before[rest])
    assert not torch.equal(whole[rest], before[rest])


@pytest.mark.parametrize("fails", [False, True])
def test_model_is_whole_afterwards(
    make_model, heard, run, tokenizer, train_rows, validation_rows, fails
):
    model = make_model().eval()
    embedding = model.get_input_embeddings()
    table, ids = embedding.weight, torch.arange(len(embedding.weight))[None, :30]
    before = table.detach().clone()
    logits = model(ids).logits
    with contextlib.suppress(Killed), compact(model, tokenizer, train_rows, validation_rows):
        assert len(embedding.weight) == embedding.num_embeddings == 11
        assert embedding.padding_idx == 0
        known = torch.tensor([OCCURRING])
        inside = model(known).logits
        if fails:
            raise Killed
    assert model.get_input_embeddings().weight is table
    assert embedding.num_embeddings == len(table) == len(before)
    assert torch.equal(table, before)
    assert torch.equal(model(ids).logits, logits)
    assert torch.equal(model(known).logits, inside)


def test_interrupted_training_leaves_the_model_whole(make_model, heard, run, weights):
    def interrupt(fraction):
        raise Killed

    model = make_model()
    before = weights(model)
    with pytest.raises(Killed):
        run(model, heard(interrupt=interrupt))
    after = weights(model)
    assert {name: value.shape for name, value in after.items()} == {
        name: value.shape for name, value in before.items()
    }
    assert not torch.equal(after[TABLE][OCCURRING], before[TABLE][OCCURRING])
    assert torch.equal(after[TABLE][12:40], before[TABLE][12:40])


def test_resume_is_exact(make_model, heard, run, weights, difference):
    def interrupt(fraction):
        if fraction == 0.6:
            raise Killed

    whole, resumed = make_model(), make_model()
    run(whole, heard("straight"))
    with pytest.raises(Killed):
        run(make_model(), heard("cut", interrupt=interrupt))
    again = heard("cut")
    run(resumed, again)
    assert difference(weights(whole), weights(resumed)) == 0.0
    assert [fraction for fraction, _ in again.evaluations] == [0.6, 0.8, 1.0]


def test_checkpoint_of_other_words_is_not_used(
    make_model, heard, run, weights, difference, uncompacted, caplog
):
    def interrupt(fraction):
        raise Killed

    with uncompacted(), pytest.raises(Killed):
        run(make_model(), heard("cut", interrupt=interrupt))
    straight, model, context = make_model(), make_model(), heard("cut")
    run(straight, heard("straight"))
    run(model, context)
    assert "expected the rows of vocabulary" in caplog.text
    assert len(context.evaluations) == 5
    assert difference(weights(straight), weights(model)) == 0.0


def test_digest_tells_vocabularies_apart(make_model, tokenizer, train_rows, validation_rows):
    digests = []
    for rows in (train_rows, train_rows.select(range(40)), train_rows.select([0])):
        with compact(make_model(), tokenizer, rows, rows) as digest:
            digests.append(digest)
    assert digests[0] == digests[1] != digests[2]
    assert WHOLE not in digests


def small_config(**options):
    return BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, **options
    )


def test_tables_that_others_use_stay_whole(tokenizer, train_rows):
    tied = BertForMaskedLM(small_config(vocab_size=64))
    shared = BertForTokenClassification(small_config(vocab_size=64))
    shared.classifier.another = shared.get_input_embeddings()
    scaled = BertForTokenClassification(small_config(vocab_size=64))
    scaled.set_input_embeddings(type("Scaled", (torch.nn.Embedding,), {})(64, 16))
    for model in (tied, shared, scaled):
        table = model.get_input_embeddings().weight
        with compact(model, tokenizer, train_rows) as digest:
            assert digest == WHOLE
            assert model.get_input_embeddings().weight is table


def test_nested_ids_and_rows_without_ids(make_model, tokenizer):
    choices = Dataset.from_list([{"input_ids": [[5, 9], [11]]}, {"input_ids": [[40]]}])
    model = make_model()
    with compact(model, tokenizer, choices):
        assert len(model.get_input_embeddings().weight) == 6
    with compact(model, tokenizer, choices, Dataset.from_list([{"pixels": [1]}])) as digest:
        assert digest == WHOLE
