"""``stagetree dashboard``: studies over HTTP, and no way to change them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import optuna
import pytest

from stagetree.search.journal import FILE, open_storage

pytest.importorskip("optuna_dashboard")


@pytest.fixture
def studies(command) -> Path:
    """Two studies of three trials each."""
    for name, shift in (("ner", 0.0), ("sentiment", 1.0)):
        place = command.root / "studies" / name
        place.mkdir(parents=True)
        (place / FILE).touch()
        storage = open_storage(place, None)
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        study.optimize(lambda trial, shift=shift: trial.suggest_float("x", 0, 1) + shift, 3)
    return Path(command.root / "studies")


def ask(url: str, method: str = "GET", content: object = None) -> tuple[int, Any]:
    data = None if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_all_studies_are_shown_and_none_can_be_changed(command, studies: Path) -> None:
    before = {path: path.read_bytes() for path in studies.glob(f"*/{FILE}")}
    with command.dashboard() as (url, process):
        _, listed = ask(f"{url}api/studies")
        found = {study["study_name"]: study["study_id"] for study in listed["study_summaries"]}
        assert sorted(found) == ["ner", "sentiment"]
        for name, number in found.items():
            _, detail = ask(f"{url}api/studies/{number}")
            assert len(detail["trials"]) == 3
            assert (detail["best_trials"][0]["values"][0] > 1) == (name == "sentiment")
        for method, path, content in (
            ("POST", "api/studies", {"study_name": "new", "directions": ["minimize"]}),
            ("DELETE", "api/studies/0", {}),
            ("PUT", "api/studies/0/note", {"body": "mine", "version": 1}),
            ("POST", "api/trials/0/user-attrs", {"user_attrs": {"a": 1}}),
        ):
            status, answer = ask(url + path, method, content)
            assert status == 403
            assert "--read-write" in answer["reason"]
        with urllib.request.urlopen(f"{url}dashboard", timeout=60) as page:
            assert b"<html" in page.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert {path: path.read_bytes() for path in studies.glob(f"*/{FILE}")} == before
    assert sorted(path.name for path in studies.rglob("*")) == sorted(
        [FILE, FILE, "ner", "sentiment"]
    )


def test_one_study_can_be_opened_for_changes(command, studies: Path) -> None:
    with command.dashboard("ner", "--read-write") as (url, _):
        _, listed = ask(f"{url}api/studies")
        (study,) = listed["study_summaries"]
        note = {"body": "look at trial 2", "version": 1}
        status, _ = ask(f"{url}api/studies/{study['study_id']}/note", "PUT", note)
        assert status == 204
    assert "look at trial 2" in (studies / "ner" / FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["sentimnt"], 2, "Did you mean 'sentiment'?"),
        (["--read-write"], 2, "ner, sentiment"),
        (["--host", "203.0.113.1"], 1, "--port"),
    ],
)
def test_what_cannot_be_shown_is_said(command, studies: Path, words, code, named) -> None:
    done = command.stagetree("dashboard", *words, "--root", str(command.root))
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_named_with_its_extra(command, studies: Path, tmp_path: Path) -> None:
    (tmp_path / "optuna_dashboard.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom stagetree.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "dashboard", "--root", str(command.root)],
        env=command.environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'stagetree[dashboard]'" in done.stderr
