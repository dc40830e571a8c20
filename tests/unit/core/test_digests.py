import hashlib

import pytest

from stagetree.core import digests


def test_a_hash_follows_the_content(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two", b"longer"):
        path.write_bytes(content)
        assert digests.sha256(path) == hashlib.sha256(content).hexdigest()
        assert digests.sha256(path) == hashlib.sha256(content).hexdigest()


def test_what_was_moved_need_not_be_read_again(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    digests.trust(path, "known")
    assert digests.sha256(path) == "known"
    path.write_bytes(b"altered")
    assert digests.sha256(path) == hashlib.sha256(b"altered").hexdigest()


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        digests.sha256(tmp_path / "nowhere")
