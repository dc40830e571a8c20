"""What the page shows of a node of the stage tree that is clicked."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stagetree.core.numbers import short
from stagetree.pipeline.record import Record
from stagetree.report.leaderboard import EXTRAS
from stagetree.report.numbers import count, duration, megabytes, score
from stagetree.report.tree import Node

NAMED = 12
"""How many trials a node names."""

_SHOWN = {"parameters": count, "bytes": megabytes}
_HIDDEN = ("flops", "throughput", "latency_threads", "nonzero_parameters", "peak_memory")


def details(root: Node, records: Mapping[str, Record]) -> dict[str, Any]:
    """Return, as JSON data, what is known of each node and what stages of a name share.

    Args:
        root: The tree.
        records: Records of stage results by signature.

    Returns:
        ``nodes``: a mapping a node, by its number; ``common``: the options that all results of a
        stage agree in, by the stage's name, so that each node holds but what sets it apart.
    """
    configs = {node.id: _config(node, records) for node in root.walk()}
    common = _common(root, configs)
    nodes = {}
    for node in root.walk():
        shared = common.get(node.name, {})
        own = {key: text for key, text in configs[node.id].items() if shared.get(key) != text}
        nodes[str(node.id)] = {
            "parent": None if node.parent is None else node.parent.id,
            "name": node.name,
            "kind": node.kind,
            "seed": node.seed,
            "signature": node.signature if len(node.signature) == 64 else "",
            "facts": _facts(node),
            "params": {name: short(value) for name, value in node.params.items()},
            "config": own,
            "metrics": _metrics(node),
            "points": [
                [round(share, 4), float(f"{value:.5g}")]
                for share, value in node.points
                if math.isfinite(value)
            ],
        }
    return {"nodes": nodes, "common": common}


def _config(node: Node, records: Mapping[str, Record]) -> dict[str, str]:
    record = records.get(node.signature)
    if record is None:
        return {}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in record.config.items()
        if key not in node.params
    }


def _common(root: Node, configs: Mapping[int, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the options that all results of a stage have the same, by the stage's name."""
    found: dict[str, dict[str, str]] = {}
    for node in root.walk():
        own = configs[node.id]
        if not own:
            continue
        known = found.setdefault(node.name, dict(own))
        for key in [key for key, text in known.items() if own.get(key) != text]:
            del known[key]
    return found


def _facts(node: Node) -> list[str]:
    """Return what happened in a node, a line each."""
    numbers = ", ".join(str(number) for number in node.trials[:NAMED])
    more = f" and {len(node.trials) - NAMED} more" if len(node.trials) > NAMED else ""
    facts = [f"{'trials' if len(node.trials) > 1 else 'trial'} {numbers}{more}"]
    ends = Counter({state: len(own) for state, own in node.ends.items()})
    facts += [f"{number} {state} here" for state, number in sorted(ends.items())]
    if node.seconds:
        whose = "computed by this study" if node.computed else "found in the store"
        facts.append(f"{duration(node.seconds)}, {whose}")
        spared = node.seconds * (len(node.trials) - node.computed)
        if len(node.trials) > 1:
            facts.append(f"sharing it spared {duration(spared)}")
    if node.best is not None:
        facts.append(f"best objective of trials through here: {score(node.best)}")
    return facts


def _metrics(node: Node) -> dict[str, str]:
    return {
        EXTRAS.get(name, name): _SHOWN[name](value) if name in _SHOWN else score(value)
        for name, value in node.metrics.items()
        if name not in _HIDDEN and not name.startswith("latency_ms_")
    }
