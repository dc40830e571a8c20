import logging

import pytest

from stagetree.core.errors import DataError
from stagetree.data.load import load
from stagetree.data.sources.base import SOURCES
from stagetree.data.sources.files import FilesConfig, Format

SOURCE = SOURCES["files"]
CONLL = "".join(f"word{i} B-X\nis O\n\n" for i in range(40))


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.write_text(content)
        return str(path)

    return to


def test_one_file_is_divided_by_shares(write):
    corpus = load(FilesConfig(path=write("all.conll", CONLL)))
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [32, 4, 4]
    words = [
        row[0] for rows in (corpus.train, corpus.validation, corpus.test) for row in rows["tokens"]
    ]
    assert len(set(words)) == 40
    assert corpus.name == "all"


def test_texts_are_divided_by_label(write):
    content = "text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(40))
    corpus = load(FilesConfig(path=write("all.csv", content)))
    assert sorted(corpus.validation["label"]) == ["a", "a", "b", "b"]


def test_one_file_a_split_without_test(write, caplog):
    config = FilesConfig(train=write("a.conll", CONLL), validation=write("b.conll", "x B-X\n"))
    with caplog.at_level(logging.WARNING):
        corpus = load(config)
    assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [40, 1, 0]
    assert "no data.test" in caplog.text
    assert corpus.test.column_names == ["tokens", "tags"]


def test_files_of_different_kinds_do_not_mix(write):
    config = FilesConfig(
        train=write("a.conll", CONLL), validation=write("b.csv", "text,label\na,b\n")
    )
    with pytest.raises(DataError, match=r"b.csv: expected the columns of .*a.conll"):
        load(config)


def test_fingerprint_is_of_content_and_options_not_of_place(write):
    one, same = write("a.conll", CONLL), write("b.conll", CONLL)
    base = SOURCE.fingerprint(FilesConfig(path=one))
    assert SOURCE.fingerprint(FilesConfig(path=same)) == base
    assert SOURCE.fingerprint(FilesConfig(path=one, format=Format.conll)) == base
    assert SOURCE.fingerprint(FilesConfig(path=one, split_seed=1)) != base
    assert SOURCE.fingerprint(FilesConfig(path=one, max_train=3)) != base
    write("a.conll", CONLL + "more O\n")
    assert SOURCE.fingerprint(FilesConfig(path=one)) != base


def test_check_lists_all_faults(tmp_path, write):
    odd = write("data.xyz", "x")
    config = FilesConfig(train=str(tmp_path / "gone.conll"), test=odd, split=[0.5, 0.2, 0.1])
    config.encoding = "utf-9"
    config.max_train = 0
    found = {fault.path: fault.message for fault in SOURCE.check(config, "tokens")}
    assert set(found) == {"split", "max_train", "train", "validation", "test", "encoding"}
    assert "gone.conll: expected a file, got nothing" in found["train"]
    assert "set data.format" in found["test"]
    assert "sum to 1" in found["split"]


def test_check_refuses_path_beside_train(write):
    path = write("a.conll", CONLL)
    faults = SOURCE.check(FilesConfig(path=path, train=path), "tokens")
    assert "got also ['train']" in faults[0].message


def test_check_refuses_data_that_does_not_fit_the_task(write):
    conll = FilesConfig(path=write("a.conll", CONLL))
    assert SOURCE.check(conll, "tokens") == []
    assert "task=ner" in SOURCE.check(conll, "text")[0].message
    table = FilesConfig(path=write("a.csv", "text,label\na,b\n"))
    assert "task=classification" in SOURCE.check(table, "tokens")[0].message


def test_limits_take_a_seeded_prefix(write):
    path = write("all.conll", CONLL)
    few = load(FilesConfig(path=path, max_train=5))
    more = load(FilesConfig(path=path, max_train=9))
    assert few.train["tokens"][:] == more.train["tokens"][:5]
    assert few.fingerprint != more.fingerprint
    assert len(load(FilesConfig(path=path, max_test=1)).test) == 1


def test_empty_validation_split_is_refused(write):
    with pytest.raises(DataError, match="expected examples in the validation split, got none"):
        load(FilesConfig(path=write("one.conll", "a B-X\n")))


def test_same_corpus_is_loaded_once(write):
    config = FilesConfig(path=write("all.conll", CONLL))
    assert load(config) is load(config)
