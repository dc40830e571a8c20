"""Pictures of what the other benchmarks here found. Needs ``pip install "stagetree[plots]"``.

    python benchmarks/search/plots.py regret curves.json regret.png
    python benchmarks/search/plots.py studies runs/search-studies.jsonl studies.png

``curves.json`` is what ``synthetic.py --out`` wrote; the JSON lines are those of ``grid.py``,
``today.py``, ``ray_asha.py`` or ``real_sampler.py``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito


def regret(file: Path) -> None:
    """Draw the median regret by what was paid, with its quartiles, a panel a pipeline."""
    curves = json.loads(file.read_text())
    families, costs, samplers = (
        list(dict.fromkeys(curve[key] for curve in curves))
        for key in ("family", "costs", "sampler")
    )
    _, panels = plt.subplots(
        len(families), len(costs), figsize=(9.6, 5.2), sharex=True, sharey="row", squeeze=False
    )
    for curve in curves:
        row, column = families.index(curve["family"]), costs.index(curve["costs"])
        colour = COLOURS[samplers.index(curve["sampler"]) % len(COLOURS)]
        axes = panels[row][column]
        low, middle, high = zip(*curve["regret"], strict=True)
        axes.fill_between(curve["paid"], low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(curve["paid"], middle, color=colour, label=curve["sampler"])
        axes.set_yscale("log")
        axes.set_title(f"{curve['family']}, dear: {curve['costs']}", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("paid, in whole pipelines")
    for axes in panels[:, 0]:
        axes.set_ylabel("regret")
    panels[0][0].legend(frameon=False, fontsize=8)
    _plain(panels.ravel())


def studies(file: Path) -> None:
    """Draw the best score by the CPU-seconds so far: a line a study, a panel a data set."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    stacks = list(dict.fromkeys(row["stack"] for row in rows))
    data = list(dict.fromkeys(row["settings"]["data"] for row in rows))
    _, panels = plt.subplots(1, len(data), figsize=(1.6 + 4.8 * len(data), 3.6), squeeze=False)
    for axes, name in zip(panels[0], data, strict=True):
        for stack, colour in zip(stacks, COLOURS, strict=False):
            chosen = [
                row for row in rows if (row["stack"], row["settings"]["data"]) == (stack, name)
            ]
            _studies(axes, chosen, colour, stack)
        axes.set_title(Path(name).name, fontsize=9)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("CPU-seconds; the dot is the end of the study")
    panels[0][0].set_ylabel("best F1 so far")
    panels[0][0].legend(frameon=False)
    _plain(panels[0])


def _studies(axes: Axes, rows: Sequence[dict[str, Any]], colour: str, label: str) -> None:
    for place, row in enumerate(rows):
        taken, best = _best(row)
        axes.step(taken, best, where="post", color=colour, label=None if place else label)
        axes.plot(taken[-1], best[-1], "o", color=colour, markersize=4)


def _best(row: dict[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    taken, values = zip(*row["reached"], strict=True)
    best = list(accumulate(values, max))
    return [*taken, row["cpu"]], [*best, best[-1]]


def _plain(panels: Sequence[Axes]) -> None:
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    plt.tight_layout()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = {"regret": regret, "studies": studies}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    kinds[options.kind](options.results)
    plt.savefig(options.picture, dpi=150)


if __name__ == "__main__":
    main()
