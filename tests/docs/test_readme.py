"""Every command that the README and the documentation show works as shown, at toy length."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")
PLACEHOLDERS = re.compile(
    r"NAME|STUDY|DIR\b|USER|noise|\.\.\.|corpus|reviews|a\.conll|install=|3fa9|50b2|lerning"
)


def shown_commands() -> list[str]:
    """Return the command lines in code spans and console blocks, one of each."""
    found: dict[str, None] = {}
    docs = PROJECT / "docs"
    for page in (PROJECT / "README.md", *sorted([*docs.glob("*.md"), *docs.glob("paid/*.md")])):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        spans = re.findall(r"`([^`\n]+)`", text)
        lines = [line[2:].split("  #")[0] for line in text.splitlines() if line.startswith("$ ")]
        for command in (*spans, *lines):
            clean = re.sub(r"\s+#.*$", "", " ".join(command.split()))
            if clean.startswith(("python run.py", "stagetree ")) and not PLACEHOLDERS.search(clean):
                found[clean] = None
    return list(found)


COMMANDS = shown_commands()
KEPT = re.compile(r"\+(sweep|experiment)=\w+( store\.budget_gb=\d+)?$")
"""Searches and experiments as they are kept: tests/integration runs each of them."""
RUNS = [
    command
    for command in COMMANDS
    if command.startswith("python run.py") and not KEPT.search(command)
]
VERBS = [command for command in COMMANDS if command.startswith("stagetree ")]

NEED = {"predict", "report", "confirm", "compare", "dashboard"}
"""Verbs of models and studies that only tests/integration makes."""


def test_the_documentation_shows_commands() -> None:
    assert len(RUNS) >= 6
    assert len(VERBS) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("shown", RUNS)
def test_a_shown_run_works(command, shown) -> None:
    words = shlex.split(shown)[2:]
    words = [re.sub(r"n_trials=\d+", "n_trials=2", word) for word in words]
    if any(word.startswith("--") for word in words):
        assert command.run(*words).returncode == 0
        return
    extra = ["hydra.sweeper.n_trials=2"] if "-m" in words and "n_trials=" not in shown else []
    if "+sweep=demo" in words:
        extra.append("hydra.sweeper.n_workers=1")
    short = [word for word in SHORT if word != "model=tiny" or "+sweep=demo" not in words]
    done = command.run(*words, *extra, *short)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shown", VERBS)
def test_a_shown_verb_works(command, shown) -> None:
    words = shlex.split(shown)[1:]
    if words[0] == "assets":
        words = ["assets", "ls"]
    if words[0] in NEED:
        words = [words[0], "--help"]
    if "demo" in words:
        pytest.skip("shows a study that the demo makes; tests/integration covers the verb")
    done = command.stagetree(*words, "--root", str(command.root))
    assert done.returncode == 0, done.stdout + done.stderr
