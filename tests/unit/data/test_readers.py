import json

import pytest

from stagetree.core.errors import DataError
from stagetree.data.conll import read_conll
from stagetree.data.jsonl import read_jsonl
from stagetree.data.table import read_table
from stagetree.data.tags import Scheme


@pytest.fixture
def file(tmp_path):
    def write(content, name="data.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_conll_columns_documents_and_line_ends(file):
    path = file(
        "\ufeff-DOCSTART- -X- O O\r\n\r\nEU NNP I-NP B-ORG\r\nrejects VB O O\r\n\r\n\r\n"
        "-DOCSTART- -X- O O\r\nParis NNP I-NP B-LOC"
    )
    assert read_conll(path) == {
        "tokens": [["EU", "rejects"], ["Paris"]],
        "tags": [["B-ORG", "O"], ["B-LOC"]],
    }
    assert read_conll(path, token_column=1, tag_column=2, scheme=Scheme.iob1)["tags"] == [
        ["B-NP", "O"],
        ["B-NP"],
    ]


def test_conll_with_tabs_keeps_spaces_in_words(file):
    assert read_conll(file("New York\tB-LOC\n"))["tokens"] == [["New York"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "data.txt: expected at least one example, got an empty file"),
        ("\n \n", "got an empty file"),
        ("-DOCSTART- O\n", "expected at least one sentence"),
        ("a O\nb\n", r"data.txt:2: expected at least 2 columns, got 1: \['b'\]"),
        ("a X O\n\nb O\n", "data.txt:3: expected 3 columns as in the lines before, got 2"),
        ("a O\n\nb I-LOC\n", r"data.txt:3: expected B-LOC.*got 'I-LOC' at the start.*scheme=iob1"),
        ("a O\nb S-LOC\n", "data.txt:2: expected O, B-TYPE or I-TYPE, got 'S-LOC'"),
        ("a\tO\n \tO\n", "data.txt:2: expected a token in column 0, got a blank"),
        (b"a O\n\xff O\n", r"data.txt:2: expected text in utf-8, got bytes ff.*data.encoding"),
    ],
)
def test_conll_faults_name_file_and_line(file, content, message):
    with pytest.raises(DataError, match=message):
        read_conll(file(content))


def test_encoding_is_an_option(file):
    assert read_conll(file(b"Z\xfcrich B-LOC\n"), encoding="latin-1")["tokens"] == [["Zürich"]]


def test_jsonl_tokens(file):
    rows = [
        {"tokens": ["a", "b"], "tags": ["B-X", "I-X"], "id": 1},
        {"tokens": ["c"], "tags": ["O"]},
    ]
    path = file("\n".join(map(json.dumps, rows)) + "\n\n")
    assert read_jsonl(path) == {"tokens": [["a", "b"], ["c"]], "tags": [["B-X", "I-X"], ["O"]]}


def test_jsonl_text_pairs_and_number_labels(file):
    path = file(
        '{"text": "a", "text_pair": "b", "label": 1}\n{"text":"c","text_pair":"d","label":0}'
    )
    assert read_jsonl(path) == {"text": ["a", "c"], "label": ["1", "0"], "text_pair": ["b", "d"]}


def test_jsonl_with_both_kinds_keeps_both(file):
    path = file('{"tokens": ["a"], "tags": ["O"], "text": "a", "label": "x"}')
    assert sorted(read_jsonl(path)) == ["label", "tags", "text", "tokens"]


def test_jsonl_column_names(file):
    path = file('{"review": "good", "stars": 5}')
    assert read_jsonl(path, text_column="review", label_column="stars") == {
        "text": ["good"],
        "label": ["5"],
    }


GOOD = '{"tokens": ["a"], "tags": ["O"]}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{'a': 1}\n", "data.txt:1: expected a JSON object, got Expecting property name"),
        ("[1]\n", "data.txt:1: expected a JSON object, got list"),
        ('{"text": "a"}\n', r"data.txt:1: expected the keys 'tokens' and 'tags', or 'text'"),
        (GOOD + '{"tokens": ["a"]}\n', r"data.txt:2: expected the key 'tags', got \['tokens'\]"),
        (
            GOOD + '\n{"tokens": ["a", "b"], "tags": ["O"]}\n',
            r"data.txt:3: expected as many tags as tokens \(2\), got 1",
        ),
        (
            GOOD + '{"tokens": [" "], "tags": ["O"]}',
            r"expected a non-blank string in 'tokens'\[0\]",
        ),
        (GOOD + '{"tokens": [], "tags": []}', "expected a list of strings as 'tokens'"),
        (GOOD + '{"tokens": ["a"], "tags": [0]}', r"non-blank string in 'tags'\[0\], got 0"),
        (GOOD + '{"tokens": ["a"], "tags": ["I-X"]}', r"data.txt:2: 'tags'\[0\]: expected B-X"),
        ('{"text": "", "label": "x"}', "expected a non-blank string as 'text', got ''"),
        ('{"text": "a", "label": 1.5}', "non-blank string as 'label', got 1.5"),
        ('{"text": "a", "label": null}', "got None"),
        (b'{"text": "\xe9", "label": "x"}', "data.txt:1: expected text in utf-8"),
    ],
)
def test_jsonl_faults_name_file_and_line(file, content, message):
    with pytest.raises(DataError, match=message):
        read_jsonl(file(content))


def test_csv_quotes_and_columns(file):
    path = file('id,review,stars\n1,"good, ""very""\nindeed",5\n\n2,bad,1\n')
    assert read_table(path, tabs=False, text_column="review", label_column="stars") == {
        "text": ['good, "very"\nindeed', "bad"],
        "label": ["5", "1"],
    }


def test_tsv_quotes_are_characters_and_pairs(file):
    path = file('text\ttext_pair\tlabel\n"a\tb\tyes\n')
    assert read_table(path, tabs=True, text_pair_column="text_pair") == {
        "text": ['"a'],
        "label": ["yes"],
        "text_pair": ["b"],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("texts,label\na,b\n", "data.txt:1: expected a column 'text'.*data.text_column=texts"),
        ("text,y\na,b\n", "data.txt:1: expected a column 'label'.*set data.label_column"),
        ("text,label\na,b,c\n", "data.txt:2: expected 2 fields as in the header, got 3"),
        ("text,label\na,b\nc\n", "data.txt:3: expected 2 fields"),
        ("text,label\na, \n", "data.txt:2: expected a label in field 2, got a blank"),
        ("text,label\n", "expected at least one row under the header"),
        ('text,label\n"a,b\n', "data.txt:2: expected a row, got"),
    ],
)
def test_table_faults_name_file_and_line(file, content, message):
    with pytest.raises(DataError, match=message):
        read_table(file(content), tabs=False)
