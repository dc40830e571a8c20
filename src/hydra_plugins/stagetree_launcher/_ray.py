"""Running jobs on a Ray cluster: what each needs of it, and what the jobs are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_plugins.stagetree_launcher._batch import CHILD, Batch
from hydra_plugins.stagetree_launcher._ray_cluster import cluster
from hydra_plugins.stagetree_launcher._ray_seat import Order
from hydra_plugins.stagetree_launcher._signals import forwarding, raise_for
from stagetree.core.threads import THREAD_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hydra.core.utils import JobReturn


def launch(batch: Batch, options: Mapping[str, Any]) -> list[JobReturn]:
    """Run every job where Ray finds room for it; see :meth:`RayLauncher.launch`."""
    with cluster(options):
        from hydra_plugins.stagetree_launcher._ray_crew import Crew

        needs = _needs(options)
        orders = [
            _order(batch.payload(place), needs, options) for place in range(len(batch.overrides))
        ]
        crew = Crew(orders, needs, batch.interchangeable, options["max_restarts"])
        try:
            with forwarding(lambda number: None) as received:
                crew.run(received)
        finally:
            crew.dismiss()
        raise_for(received)
        return crew.outcomes()


def _needs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of each job's actor."""
    import ray

    gpus = options["num_gpus"]
    if gpus is None:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    optional = {name: options[name] for name in ("memory", "resources")}
    return {
        "num_cpus": options["num_cpus"],
        "num_gpus": gpus,
        **{name: value for name, value in optional.items() if value},
        **options["options"],
    }


def _order(payload: bytes, needs: Mapping[str, Any], options: Mapping[str, Any]) -> Order:
    environment = dict.fromkeys(THREAD_LIMITS, str(max(1, int(needs["num_cpus"]))))
    if not needs["num_gpus"]:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray keeps none for it, so it uses none
    shipped = {"working_dir", "py_modules"} & set(options["runtime_env"])
    return Order(
        module=CHILD,
        payload=payload,
        environment=environment,
        paths=[path for path in sys.path if path],
        ships_code=bool(shipped),
        directory=str(Path.cwd()),
    )
