import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from stagetree.data import tokenized as module
from stagetree.data.tokenized import tokenized


def _rows():
    return datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [4]] * 500})


@pytest.fixture
def fresh_process():
    """Forget what this process has open, as a new process would."""
    module._open.clear()
    return module._open.clear


def test_built_once_and_memory_mapped(tmp_path, fresh_process):
    calls = []

    def build():
        calls.append(1)
        return _rows()

    first = tokenized("abc", build, tmp_path)
    assert tokenized("abc", build, tmp_path) is first
    fresh_process()
    again = tokenized("abc", build, tmp_path)
    assert again["input_ids"][:] == _rows()["input_ids"][:]
    assert len(calls) == 1
    assert all(str(tmp_path) in file["filename"] for file in again.cache_files)
    assert again.cache_files
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "record"])
def test_damaged_entry_is_built_again(tmp_path, fresh_process, damage):
    tokenized("abc", _rows, tmp_path)
    fresh_process()
    arrow = next((tmp_path / "abc").glob("*.arrow"))
    content = arrow.read_bytes()
    if damage == "truncate":
        arrow.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        arrow.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    elif damage == "remove":
        (tmp_path / "abc" / "state.json").unlink()
    else:
        (tmp_path / "abc" / "complete.json").write_text("{")
    assert tokenized("abc", _rows, tmp_path)["input_ids"][:] == _rows()["input_ids"][:]
    fresh_process()
    calls = []
    tokenized("abc", lambda: calls.append(1), tmp_path)
    assert calls == []
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]


def test_failing_build_leaves_nothing(tmp_path, fresh_process):
    def build():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        tokenized("abc", build, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden"])
def test_key_must_be_a_file_name(tmp_path, key):
    with pytest.raises(ValueError, match="expected a key"):
        tokenized(key, _rows, tmp_path)


PROCESS = """
import sys, time
from pathlib import Path
import datasets
from stagetree.data.tokenized import tokenized

def build():
    print("building", flush=True)
    while len(list(Path(sys.argv[1]).parent.glob("building-*"))) < 2:
        time.sleep(0.01)
    return datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [4]] * 500})

Path(sys.argv[2]).touch()
print(len(tokenized("abc", build, Path(sys.argv[1]))))
"""


def test_processes_at_once_agree(tmp_path):
    root = tmp_path / "root"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(root), str(tmp_path / f"building-{number}")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [worker.communicate(timeout=120)[0].split() for worker in workers]
    assert [output[-1] for output in outputs] == ["1000", "1000"]
    assert [path.name for path in root.iterdir()] == ["abc"]


READER = """
import sys
from pathlib import Path

from stagetree.data.tokenized import tokenized

def build():
    raise SystemExit("made again")

rows = tokenized("abc", build, Path(sys.argv[1]))
assert rows[999]["input_ids"] == [4]
for line in Path("/proc/self/maps").read_text().splitlines():
    if line.endswith(".arrow"):
        print(*line.split()[4:])
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_later_processes_map_the_same_file_and_make_nothing(tmp_path, fresh_process):
    tokenized("abc", _rows, tmp_path)
    command = [sys.executable, "-c", READER, str(tmp_path)]
    seen = [
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
        for _ in range(2)
    ]
    assert seen[0] == seen[1]
    [file] = tmp_path.glob("abc/*.arrow")
    assert seen[0].split() == [str(file.stat().st_ino), str(file)]
