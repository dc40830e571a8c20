"""What taking a grid by the stage tree saves several workers: time, and waiting for each other.

The app of ``tests/apps/staged`` has two stages that only sleep, so workers do not compete for
the processor; trials share the first, and who comes to it while another has it waits. ``wall`` is
from the start of the first trial to the end of the last, ``waited`` the sum over all workers,
``bound`` the time of all stages once, shared out evenly. Each case is run in the order of the
command line and by the tree, alternating (ABBA).

    python benchmarks/search/tree_order.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe, table
from stagetree.search.study import load

APP = Path(__file__).parents[2] / "tests" / "apps" / "staged" / "app.py"
CASES = {
    "3 x 4": ("a=1,2,3", "b=1,2,3,4"),
    "3 x 4, other way round": ("b=1,2,3,4", "a=1,2,3"),
    "4 x 3": ("a=1,2,3,4", "b=1,2,3"),
}
FIRST, SECOND = 2.0, 0.5
"""Seconds that the stages take."""


def measure(line: tuple[str, ...], workers: int, *, tree: bool) -> tuple[float, float]:
    """Run a grid once; return wall time and the seconds waited."""
    with tempfile.TemporaryDirectory() as place:
        words = [f"hydra.sweeper.n_workers={workers}", f"pause=[{FIRST},{SECOND}]"]
        stages = "app.outline" if tree else "null"
        words += [f"hydra.sweeper.stages={stages}", "hydra.sweeper.study_name=s"]
        command = [sys.executable, str(APP), "-m", *line, *words]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        trials = load(Path(place) / "stagetree_studies" / "s", "s", None).trials
        log = [one.split() for one in (Path(place) / "log").read_text().splitlines()]
    begin = min(trial.datetime_start for trial in trials if trial.datetime_start)
    end = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    waited = sum(float(words[3]) for words in log if words[0] == "waited")
    return (end - begin).total_seconds(), waited


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=2, help="times ABBA")
    options.add_argument("--grids", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--workers", nargs="+", type=int, default=[2, 3])
    given = options.parse_args()
    print(describe("optuna", "hydra-core"))
    lines = []
    for name in given.grids:
        branches = int(name[0])
        for workers in given.workers:
            found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for tree in [False, True, True, False] * given.rounds:
                found[tree].append(measure(CASES[name], workers, tree=tree))
            bound = (branches * FIRST + 12 * SECOND) / workers
            cells = [
                f"{statistics.fmean(one[place] for one in found[tree]):.1f} s"
                for place in (0, 1)
                for tree in (False, True)
            ]
            lines.append([f"{name}, {workers} workers", f"{bound:.1f} s", *cells])
    header = ["grid", "bound", "wall, line", "wall, tree", "waited, line", "waited, tree"]
    print(table(header, lines))


if __name__ == "__main__":
    main()
