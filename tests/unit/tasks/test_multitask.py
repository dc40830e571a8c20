import numpy as np
import pytest
from datasets import Dataset

from stagetree.core.errors import DataError
from stagetree.data.corpus import Corpus
from stagetree.data.sources.multitask import joined, rows_of
from stagetree.tasks.base import IGNORED
from stagetree.tasks.classification import ClassificationConfig, ClassificationTask
from stagetree.tasks.multitask import MultitaskConfig, MultitaskTask, PartConfig, Sampling
from stagetree.tasks.ner import NerConfig, NerTask

NER = Dataset.from_list(
    [
        {"tokens": ["Ada", "met", "Bo"], "tags": ["B-PER", "O", "B-PER"]},
        {"tokens": ["Rain"], "tags": ["O"]},
    ]
)
MOOD = Dataset.from_list([{"text": "Good.", "label": "good"}, {"text": "Bad.", "label": "bad"}])
LABELS = ["names/O", "names/B-PER", "names/I-PER", "mood/bad", "mood/good"]


def make(**options) -> MultitaskTask:
    parts = {
        "names": PartConfig(NerConfig(), weight=options.pop("weight", 1.0)),
        "mood": PartConfig(ClassificationConfig()),
    }
    return MultitaskTask(MultitaskConfig(tasks=parts, **options))


@pytest.fixture
def corpus():
    parts = {
        "names": Corpus("ner", NER, NER, NER.select([]), "1"),
        "mood": Corpus("mood", MOOD, MOOD, MOOD.select([]), "2"),
    }
    return joined(parts, "3")


def test_each_task_gets_its_own_rows_and_columns_back(corpus):
    assert len(corpus.train) == 4
    assert rows_of(corpus.train, "names").to_list() == NER.to_list()
    assert rows_of(corpus.train, "mood").to_list() == MOOD.to_list()
    assert len(rows_of(corpus.test, "mood")) == 0


def test_a_column_that_would_be_lost_is_refused():
    rows = MOOD.add_column("task", ["a", "b"])
    with pytest.raises(DataError, match="task 'mood' has a column 'task'"):
        joined({"mood": Corpus("mood", rows, rows, rows, "1")}, "2")


def test_labels_are_those_of_all_tasks_in_order(corpus):
    assert make().labels(corpus) == LABELS


def test_scores_are_those_of_each_task_alone():
    generator = np.random.default_rng(0)
    tags = [np.array([IGNORED, 1, 0, 2]), np.array([0, IGNORED])]
    moods = [np.array(number) for number in (0, 1, 1)]
    tag_logits = [generator.normal(size=(len(row), 3)).astype(np.float32) for row in tags]
    mood_logits = [generator.normal(size=2).astype(np.float32) for _ in moods]
    joint = [np.pad(row, ((0, 0), (0, 2)), constant_values=-1e4) for row in tag_logits]
    joint += [np.pad(row, (3, 0), constant_values=-1e4) for row in mood_logits]
    gold = [*tags, *(number + 3 for number in moods)]
    found = make().score(joint, gold, LABELS)
    names = NerTask(NerConfig()).score(tag_logits, tags, ["O", "B-PER", "I-PER"])
    mood = ClassificationTask(ClassificationConfig()).score(mood_logits, moods, ["bad", "good"])
    expected = {f"names.{name}": value for name, value in names.metrics.items()}
    expected |= {f"mood.{name}": value for name, value in mood.metrics.items()}
    mean = (names.metrics["f1"] + mood.metrics["macro_f1"]) / 2
    assert dict(found.metrics) == {"mean": mean, **expected}
    assert found.per_class["mood.good"] == mood.per_class["good"]
    assert found.per_class["names.PER"] == names.per_class["PER"]


def test_weights_and_sampling_change_the_task_but_not_its_rows():
    plain = make()
    for other in (make(weight=2.0), make(sampling=Sampling.uniform)):
        assert other.identity() != plain.identity()
        assert other.encoding() == plain.encoding()
    assert make(exponent=0.3).identity() == plain.identity()
    warm = make(exponent=0.3, sampling=Sampling.temperature).identity()
    assert warm != make(sampling=Sampling.temperature).identity()
