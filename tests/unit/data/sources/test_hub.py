import datasets
import pytest

from stagetree.core.errors import DataError
from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.data.sources.hub import HubConfig

SOURCE = SOURCES["hub"]
NAMES = ["O", "B-LOC", "I-LOC"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def _token_rows(count, tags=(1, 2, 0)):
    feature = datasets.List(datasets.ClassLabel(names=NAMES))
    features = {"tokens": datasets.List(datasets.Value("string")), "ner_tags": feature}
    rows = {
        "tokens": [["New", "York", f"w{i}"] for i in range(count)],
        "ner_tags": [list(tags)] * count,
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def _text_rows(count, labels=("bad", "good"), named=True):
    label = datasets.ClassLabel(names=list(labels)) if named else datasets.Value("int64")
    rows = {"text": [f"t{i}" for i in range(count)], "label": [i % 2 for i in range(count)]}
    features = {"text": datasets.Value("string"), "label": label}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


@pytest.fixture
def saved(tmp_path):
    def save(**splits):
        path = tmp_path / "saved"
        datasets.DatasetDict(splits).save_to_disk(str(path))
        return str(path)

    return save


def test_class_labels_become_names(saved):
    path = saved(train=_token_rows(4), validation=_token_rows(2), test=_token_rows(3))
    corpus = load(HubConfig(path=path, tokens_column="tokens"))
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [4, 2, 3]
    assert corpus.train[0] == {"tokens": ["New", "York", "w0"], "tags": ["B-LOC", "I-LOC", "O"]}
    assert corpus.name == "saved"


def test_missing_validation_is_carved_out_of_train(saved, caplog):
    path = saved(train=_text_rows(90))
    corpus = load(HubConfig(path=path, test_split=None))
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [80, 10, 0]
    assert sorted(corpus.validation["label"]) == ["bad"] * 5 + ["good"] * 5
    assert not set(corpus.train["text"]) & set(corpus.validation["text"])
    assert "no test split" in caplog.text


def test_a_split_can_stand_for_another(saved):
    path = saved(train=_text_rows(90), validation=_text_rows(7))
    corpus = load(HubConfig(path=path, test_split="validation", validation_split=None))
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [80, 10, 7]


def test_number_labels_need_names(saved):
    path = saved(train=_text_rows(9, named=False), validation=_text_rows(3, named=False))
    with pytest.raises(DataError, match=r"\(train\), row 0: .*set data.label_names"):
        load(HubConfig(path=path))
    corpus = load(HubConfig(path=path, label_names=["no", "yes"]))
    assert corpus.train["label"][:2] == ["no", "yes"]


def test_unlabelled_split_is_explained(saved):
    hidden = _text_rows(3).map(lambda row: {"label": -1})
    path = saved(train=_text_rows(8), validation=_text_rows(4), test=hidden)
    with pytest.raises(DataError, match=r"\(test\), row 0: expected a label from 0 to 1, got -1"):
        load(HubConfig(path=path))


def test_wrong_scheme_names_row_and_way_out(saved):
    path = saved(train=_token_rows(3, tags=(2, 2, 0)), validation=_token_rows(1))
    with pytest.raises(DataError, match=r"\(train\), row 0, tag 0: expected B-LOC.*scheme=iob1"):
        load(HubConfig(path=path, tokens_column="tokens"))


def test_unknown_column_and_split_name_the_nearest(saved):
    path = saved(train=_text_rows(8), validation=_text_rows(4))
    with pytest.raises(DataError, match=r"Did you mean 'text'.*Set data.text_column"):
        load(HubConfig(path=path, text_column="texts"))
    with pytest.raises(DataError, match=r"unknown split 'trains'. Did you mean 'train'"):
        load(HubConfig(path=path, train_split="trains"))


def test_directory_in_hub_layout(tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    _text_rows(20).to_parquet(str(folder / "train-00000.parquet"))
    _text_rows(6).to_parquet(str(folder / "test-00000.parquet"))
    corpus = load(HubConfig(path=str(folder)))
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [18, 2, 6]
    assert set(corpus.train["label"]) == {"bad", "good"}


def test_text_pairs(saved):
    rows = (
        _text_rows(8).rename_column("text", "sentence1").add_column("sentence2", list("abcdefgh"))
    )
    path = saved(train=rows, validation=rows, test=rows)
    corpus = load(HubConfig(path=path, text_column="sentence1", text_pair_column="sentence2"))
    assert corpus.train[1] == {"text": "t1", "text_pair": "b", "label": "good"}


def test_fingerprint_of_a_directory_is_of_its_content(saved, tmp_path):
    path = saved(train=_text_rows(8))
    before = SOURCE.fingerprint(HubConfig(path=path))
    moved = tmp_path / "moved"
    (tmp_path / "saved").rename(moved)
    assert SOURCE.fingerprint(HubConfig(path=str(moved))) == before
    saved(train=_text_rows(9))
    assert SOURCE.fingerprint(HubConfig(path=path)) != before


def test_fingerprint_of_a_hub_id_needs_no_network():
    one = SOURCE.fingerprint(HubConfig(path="some/where", revision="abc"))
    assert one != SOURCE.fingerprint(HubConfig(path="some/where", revision="abd"))
    assert one == SOURCE.fingerprint(HubConfig(path="some/where", revision="abc"))


def test_unreachable_hub_says_what_to_do(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"(?s)no-such/data.*(HF_HUB_OFFLINE|data.path)"):
        load(HubConfig(path="no-such/data-set-anywhere"))


def test_check():
    text, tokens = HubConfig(path="a/b"), HubConfig(path="a/b", tokens_column="tokens")
    assert SOURCE.check(text, "text") == []
    assert SOURCE.check(tokens, "tokens") == []
    assert [fault.path for fault in SOURCE.check(text, "tokens")] == ["kind"]
