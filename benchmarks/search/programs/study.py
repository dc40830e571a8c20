"""What the studies here have in common: their options, and the line that a trial leaves."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every study has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    return parser


def note(log: Path, state: str, value: float | None) -> None:
    """Append how a trial ended, and that it ended now."""
    with log.open("a") as file:
        file.write(json.dumps({"state": state, "value": value, "end": time.time()}) + "\n")
