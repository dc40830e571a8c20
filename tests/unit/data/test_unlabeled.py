import json

import pytest

from stagetree.core.errors import DataError
from stagetree.data.unlabeled import fingerprint, read_unlabeled, verify


@pytest.fixture
def files(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("Anna lives in Paris.\n\n  She works.  \n", encoding="utf-8")
    records = tmp_path / "records.jsonl"
    rows = [{"tokens": ["U.S.", "dollars"]}, {"text": "Hello, you!"}]
    records.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return [str(lines), str(records)]


def test_words_come_of_lines_and_records(files):
    assert read_unlabeled(files, "tokens")["tokens"][:] == [
        ["Anna", "lives", "in", "Paris", "."],
        ["She", "works", "."],
        ["U.S.", "dollars"],
        ["Hello", ",", "you", "!"],
    ]


def test_texts_come_of_lines_and_records(files):
    texts = ["Anna lives in Paris.", "She works.", "U.S. dollars", "Hello, you!"]
    assert read_unlabeled(files, "text")["text"][:] == texts
    assert read_unlabeled(files, "text", 3)["text"][:] == texts[:3]


def test_content_counts_and_not_the_name(files, tmp_path):
    copy = tmp_path / "copy.txt"
    copy.write_bytes((tmp_path / "lines.txt").read_bytes())
    assert fingerprint([str(copy)]) == fingerprint(files[:1])
    copy.write_text("other\n", encoding="utf-8")
    assert fingerprint([str(copy)]) != fingerprint(files[:1])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected a JSON object"),
        ("[1]", "expected an object with the key 'tokens' or 'text', got list"),
        ('{"words": []}', r"got \['words'\]"),
        ('{"tokens": ["a", " "]}', "expected a list of non-blank strings as 'tokens'"),
        ('{"tokens": []}', "expected a list of non-blank strings as 'tokens'"),
        ('{"text": 3}', "expected a non-blank string as 'text', got 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n", encoding="utf-8")
    for read in (lambda: read_unlabeled([str(path)], "text"), lambda: verify(str(path))):
        with pytest.raises(DataError, match=message) as caught:
            read()
        assert f"{path}:2: " in str(caught.value)
    path.write_text('{"text": "fine"}\n', encoding="utf-8")
    verify(str(path))


def test_a_missing_or_empty_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a file"):
        fingerprint([str(tmp_path / "none.txt")])
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="at least one example"):
        read_unlabeled([str(tmp_path / "empty.txt")], "text")
