"""The actors of a launch on Ray: each is read until its process ends, and replaced if lost."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import ray
from hydra.core.utils import JobReturn, JobStatus
from ray import cloudpickle
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from hydra_plugins.stagetree_launcher import _ray_seat
from hydra_plugins.stagetree_launcher._batch import how, lost, returned, starts_again
from hydra_plugins.stagetree_launcher._signals import passed_on
from hydra_plugins.stagetree_sweeper._console import complain
from stagetree.core.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hydra_plugins.stagetree_launcher._ray_seat import Heard, Order

POLL = 0.5
"""Seconds after which a signal that came meanwhile is passed on."""
PATIENCE = 15.0
"""Seconds after which it is said that workers wait for room in the cluster."""
ENOUGH = 3
"""How many signals end the launch without waiting for anything."""


class Crew:
    """The jobs of a launch.

    Args:
        orders: What each actor is to run.
        needs: Options of each actor.
        interchangeable: Whether the jobs do one work together: then one that is lost is started
            again, and once one has found nothing left to do, those that still wait for room
            are not needed any more.
        max_restarts: How often each job is started again.

    Raises:
        ConfigError: Ray does not take an option of the actors.
    """

    def __init__(
        self,
        orders: Sequence[Order],
        needs: Mapping[str, Any],
        interchangeable: bool,
        max_restarts: int,
    ) -> None:
        cloudpickle.register_pickle_by_value(_ray_seat)
        try:
            self._seat = ray.remote(_ray_seat.Seat).options(**{"max_concurrency": 2, **needs})
        except (TypeError, ValueError) as error:
            raise ConfigError([Fault("hydra.launcher.options", str(error))]) from error
        self._needs = needs
        self._orders = orders
        self._interchangeable = interchangeable
        self._max_restarts = max_restarts if interchangeable else 0
        self._restarts = [0] * len(orders)
        self._seats: dict[int, Any] = {}
        self._reads: dict[Any, int] = {}
        self._waiting: set[int] = set()
        self._outcomes: dict[int, JobReturn] = {}
        self._received: list[int] = []

    def run(self, received: list[int]) -> None:
        """Run all jobs to their end, passing on each signal that is added to ``received``."""
        self._received = received
        for place in range(len(self._orders)):
            self._start(place)
        passed, patient_until = 0, time.monotonic() + PATIENCE
        while self._reads and len(received) < ENOUGH:
            if len(received) > passed:
                passed = len(received)
                self._send(passed_on(received))
            if self._waiting and time.monotonic() > patient_until:
                patient_until = float("inf")
                self._say_who_waits()
            ready, _ = ray.wait(list(self._reads), num_returns=1, timeout=POLL)
            for read in ready:
                self._hear(self._reads.pop(read), read)

    def outcomes(self) -> list[JobReturn]:
        """Return how each job ended, in order."""
        return [self._outcomes[place] for place in range(len(self._orders))]

    def dismiss(self) -> None:
        """End all actors that are left, and what they run."""
        for place in list(self._seats):
            self._end(place)

    def _start(self, place: int) -> None:
        self._waiting.add(place)
        self._seats[place] = self._seat.remote(self._orders[place])
        self._read(place)

    def _read(self, place: int) -> None:
        self._reads[self._seats[place].read.remote()] = place

    def _hear(self, place: int, read: Any) -> None:
        """Take what a process said, or notice that it cannot say anything any more."""
        if place not in self._seats:
            return
        try:
            heard: Heard = ray.get(read)
            self._waiting.discard(place)
            _show(heard)
            if heard.code is None:
                self._read(place)
                return
            result = ray.get(self._seats[place].result.remote())
        except ActorUnavailableError:  # Ray does not know yet whether its node is lost
            time.sleep(POLL)
            self._read(place)
        except RayError as error:
            self._ended(place, _why(error), restart=_restartable(error))
        else:
            if result is None:
                self._ended(place, how(heard.code), restart=heard.code < 0)
            else:
                self._done(place, returned(result))

    def _done(self, place: int, outcome: JobReturn) -> None:
        self._end(place)
        self._outcomes[place] = outcome
        if self._interchangeable and outcome.status == JobStatus.COMPLETED:
            for waiting in list(self._waiting):
                self._end(waiting)
                self._outcomes[waiting] = outcome

    def _ended(self, place: int, reason: str, restart: bool) -> None:
        """Start a lost one again, unless another has found that nothing is left to do."""
        self._end(place)
        finished = any(done.status == JobStatus.COMPLETED for done in self._outcomes.values())
        wanted = restart and not finished and not self._received
        if not wanted or self._restarts[place] >= self._max_restarts:
            self._outcomes[place] = lost(f"the process {reason}")
            return
        self._restarts[place] += 1
        complain(starts_again(place, reason, self._restarts[place], self._max_restarts))
        self._start(place)

    def _send(self, number: int) -> None:
        """Send a signal to all processes; those that have not started never will."""
        for place, seat in list(self._seats.items()):
            if place in self._waiting:
                self._end(place)
                self._outcomes[place] = lost("the process was not started")
            else:
                seat.send.remote(number)

    def _end(self, place: int) -> None:
        self._waiting.discard(place)
        self._reads = {read: other for read, other in self._reads.items() if other != place}
        with contextlib.suppress(RayError, ValueError):
            ray.kill(self._seats.pop(place))

    def _say_who_waits(self) -> None:
        free = ray.available_resources()
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        wanted = {label: self._needs[name] for name, label in names.items() if name in self._needs}
        wanted |= self._needs.get("resources", {})
        needs = ", ".join(f"{value:g} {name}" for name, value in wanted.items() if value)
        there = ", ".join(f"{free.get(name, 0):g} {name}" for name in wanted if wanted[name])
        complain(
            f"{len(self._waiting)} of {len(self._orders)} workers wait for room in the cluster: "
            f"each needs {needs}; free are {there}"
        )


def _show(heard: Heard) -> None:
    for is_error, line in heard.lines:
        stream = sys.stderr if is_error else sys.stdout
        stream.write(line)
    sys.stdout.flush()
    sys.stderr.flush()


def _why(error: RayError) -> str:
    if "node has died" in str(error):
        return "was lost with its node"
    if _restartable(error):
        return "was lost with its Ray actor"
    return f"could not be started: {error}"


def _restartable(error: RayError) -> bool:
    return isinstance(error, RayActorError) and not error.actor_init_failed
