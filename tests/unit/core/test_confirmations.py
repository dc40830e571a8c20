from pathlib import Path

import pytest

from stagetree.core import confirmations
from stagetree.core.errors import StagetreeError


def test_a_confirmation_takes_the_place_of_itself_and_comes_last(tmp_path: Path) -> None:
    assert confirmations.read(tmp_path) == []
    for identity, test in (("a", None), ("b", None), ("a", {"status": "read"})):
        confirmations.put(tmp_path, {"id": identity, "test": test})
    found = confirmations.read(tmp_path)
    assert [one["id"] for one in found] == ["b", "a"]
    assert confirmations.find(found, "a") == {"id": "a", "test": {"status": "read"}}
    assert confirmations.find(found, "c") is None


@pytest.mark.parametrize(
    ("test", "counts"),
    [(None, False), ({"status": "refused"}, False), ({"status": "begun"}, True),
     ({"status": "read"}, True)],
)  # fmt: skip
def test_a_reading_that_was_begun_counts(tmp_path: Path, test, counts) -> None:
    confirmations.put(tmp_path, {"id": "a", "test": test})
    found = confirmations.read(tmp_path)
    assert bool(confirmations.readers(found, "b")) is counts
    assert confirmations.readers(found, "a") == []


@pytest.mark.parametrize("text", ["{", "[]", '{"other": 1}'])
def test_a_damaged_record_is_no_leave_to_read_the_test_split(tmp_path: Path, text: str) -> None:
    (tmp_path / confirmations.FILE).write_text(text)
    with pytest.raises(StagetreeError, match="whether the test split was read"):
        confirmations.read(tmp_path)
