"""A search on Slurm, disturbed in the middle, against the same search left alone.

It starts a Slurm of its own (Debian's slurm-wlm and munge, as root), takes the undisturbed table
from one local process, and runs the search with 2 workers once for every fault and repetition:

- ``scancel``: one worker's job is cancelled.
- ``slurmd``: the daemon of one node is killed with SIGKILL; its worker runs on.
- ``node``: the daemon and all that runs on the node are killed.
- ``worker``: the process of one worker is killed with SIGKILL.
- ``preemption``: a job of a higher partition takes one worker's node.
- ``time limit``: one worker gets the signal that comes before the time limit.
- ``storage``: with ``--storage`` and ``--restart-storage``: its server is restarted.

A run is right when the parameters and scores of all trials equal the undisturbed ones, no trial is
left running, and no stage (``--app tiny``) or trial (``--app quadratic``) that was stored was
computed again.

    python benchmarks/cluster_faults.py --times 3
    python benchmarks/cluster_faults.py --app tiny --times 1 --faults scancel preemption
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna

from machine import describe, table
from stagetree.search.results import open_study, rows

PROJECT = Path(__file__).resolve().parents[1]
APPS = {
    "quadratic": [
        str(PROJECT / "tests/apps/quadratic/app.py"), "x=interval(-1,1)", "y=range(1,100)",
        "log=log", "hydra.sweeper.seed=7", "hydra.sweeper.ignore=[pause]",
        "+hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler",
        "hydra.sweeper.n_trials=8",
    ],
    "tiny": [
        str(PROJECT / "run.py"), "model=tiny", "debug=short", "stage=distill", "tracker=none",
        "stages.finetune.learning_rate=1e-4,3e-4", "stages.distill.temperature=1,2",
        "paths.root=runs", "numerics=fp32",
    ],
}  # fmt: skip
PLACES = {"quadratic": "stagetree_studies", "tiny": "runs/studies"}


@dataclass
class Search:
    """One run of the search in a directory of its own."""

    lab: Any
    app: str
    directory: Path
    storage: str | None

    def start(self, launcher: str, *words: str) -> subprocess.Popen[str]:
        """Start the line."""
        self.directory.mkdir(parents=True)
        program, *line = APPS[self.app]
        pause = [] if self.app == "tiny" else [f"pause={1.5 if launcher == 'slurm' else 0}"]
        url = self.storage and self.storage.format(name=self.name)
        stored = [f"hydra.sweeper.storage='{url}'"] if url else []
        named = [f"hydra.sweeper.study_name={self.name}", f"hydra/launcher={launcher}"]
        environment = {**self.lab.environment, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
        self.began = time.time()
        return subprocess.Popen(
            [sys.executable, program, "-m", *line, *pause, *stored, *named, *words],
            cwd=self.directory,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.directory.name

    @property
    def home(self) -> Path:
        """Directory of the study."""
        return self.directory / PLACES[self.app] / self.name

    def rows(self) -> list[Any]:
        """Return the trials."""
        url = self.storage and self.storage.format(name=self.name)
        return rows(open_study(self.name, self.home.parent, url))

    def scores(self) -> list[tuple[str, str, tuple[float, ...]]]:
        """Return the state, parameters and values of each trial."""
        return [(row.state, str(dict(row.params)), tuple(row.values)) for row in self.rows()]

    def twice(self) -> int:
        """Return how often something was computed that was stored already.

        Of the quadratic app: how many trials began again beside the one that was disturbed.
        """
        if self.app == "tiny":
            made = [stage.signature for row in self.rows() for stage in row.stages
                    if not stage.reused]  # fmt: skip
            return len(made) - len(set(made))
        return max(0, self.begun() - len(self.rows()) - 1)

    def begun(self) -> int:
        """Return how many runs of a trial have begun."""
        if self.app == "tiny":
            return len(list(self.home.glob("[0-9]*/record.jsonl")))
        log = self.directory / "log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def jobs(self) -> list[tuple[str, str]]:
        """Return id and node of each running job."""
        lines = self.lab.tell("squeue", "-hr", "-tRUNNING", "-o%i %N").splitlines()
        return sorted((line.split()[0], line.split()[1]) for line in lines)

    def processes(self, node: str) -> list[int]:
        """Return the processes of our jobs on a node, as their environment names it."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            conf = f"SLURM_CONF={self.lab.root}/slurm.conf".encode()
            if f"SLURMD_NODENAME={node}".encode() in words and conf in words:
                found.append(int(place.name))
        return found


def scancel(search: Search, options: argparse.Namespace) -> None:
    """Cancel one worker's job."""
    search.lab.tell("scancel", search.jobs()[0][0])


def slurmd(search: Search, options: argparse.Namespace) -> None:
    """Kill a node's daemon."""
    search.lab.end(search.jobs()[0][1], signal.SIGKILL)


def node(search: Search, options: argparse.Namespace) -> None:
    """Kill a node's daemon and everything on it."""
    name = search.jobs()[0][1]
    search.lab.end(name, signal.SIGKILL)
    for pid in search.processes(name):
        kill(pid)


def worker(search: Search, options: argparse.Namespace) -> None:
    """Kill one worker's process."""
    for pid in search.processes(search.jobs()[0][1]):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"submitit.core._submit" in words and b"srun" not in words.split(b"\0")[0]:
            kill(pid)


def preemption(search: Search, options: argparse.Namespace) -> None:
    """Let a job of a higher partition take one worker's node for three seconds."""
    where = search.jobs()[0][1]
    search.lab.tell("sbatch", "-phigh", f"-w{where}", "-o/dev/null", "--wrap=sleep 3")


def time_limit(search: Search, options: argparse.Namespace) -> None:
    """Send one worker the signal that comes before the time limit."""
    search.lab.tell("scancel", "--signal=USR2", search.jobs()[0][0])


def storage(search: Search, options: argparse.Namespace) -> None:
    """Restart the storage's server."""
    subprocess.run(shlex.split(options.restart_storage), check=True)


FAULTS: dict[str, Callable[[Search, argparse.Namespace], None]] = {
    "scancel": scancel,
    "slurmd": slurmd,
    "node": node,
    "worker": worker,
    "preemption": preemption,
    "time limit": time_limit,
    "storage": storage,
}


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass(frozen=True)
class Ran:
    """What one disturbed run came to."""

    same: bool
    zombies: int
    twice: int
    seconds: float
    begun: int


def disturbed(search: Search, fault: str, truth: Any, options: argparse.Namespace) -> Ran:
    """Run the search, disturb it once half of it is done, and judge the end."""
    start = time.monotonic()
    process = search.start("slurm", "hydra.sweeper.n_workers=2")
    middle = 3 if options.app == "quadratic" else 2
    while (search.begun() < middle or len(search.jobs()) < 2) and process.poll() is None:
        time.sleep(0.1)
    if process.poll() is None:
        FAULTS[fault](search, options)
    said, _ = process.communicate(timeout=600)
    scores = search.scores()
    same = scores == truth and process.returncode == 0
    if not same:
        print(said, f"exit code {process.returncode}", *scores, sep="\n", file=sys.stderr)
    zombies = sum(state in ("running", "waiting") for state, *_ in scores)
    seconds = time.monotonic() - start
    repair(search.lab)
    return Ran(same, zombies, search.twice(), seconds, search.begun())


def repair(lab: Any) -> None:
    """Start the nodes that were killed and wait until all are free."""
    lab.tell("scancel", "-u", "root")
    for number in range(lab.nodes):
        lab.start_node(number)
    lab.wait(lambda: not lab.tell("squeue", "-h"), seconds=120)
    free = ("sinfo", "-hN", "-pmain", "-tidle")
    lab.wait(lambda: len(lab.tell(*free).splitlines()) == lab.nodes, seconds=120)


def first_step(search: Search) -> tuple[float, float]:
    """Return seconds from the line's start to submission, and from the job's start to a step.

    Slurm tells the start in whole seconds.
    """
    process = search.start("slurm", "hydra.sweeper.n_workers=1")
    process.communicate(timeout=600)
    [file] = (search.home / "workers" / "slurm").glob("*.json")
    handed = json.loads(file.read_text())
    shown = search.lab.tell("scontrol", "-o", "show", "job", handed["jobs"][0])
    fields = dict(word.split("=", 1) for word in shown.split() if "=" in word)
    started = datetime.fromisoformat(fields["StartTime"]).timestamp()
    return handed["time"] - search.began, min(times(search)) - started


def times(search: Search) -> Iterator[float]:
    """Yield when trials were first evaluated, which is after their first steps, or began."""
    for file in search.home.glob("[0-9]*/record.jsonl"):
        for event in map(json.loads, file.read_text().splitlines()):
            if event["event"] == "evaluated":
                yield datetime.fromisoformat(event["time"]).timestamp()
    if search.app == "quadratic":
        study = open_study(search.name, search.home.parent, None)
        began = [trial.datetime_start for trial in study.get_trials(deepcopy=False)]
        yield from (moment.timestamp() for moment in began if moment is not None)


def measured(lab: Any, root: Path, options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield a row of the table for each fault."""
    whole = Search(lab, options.app, root / "undisturbed", options.storage)
    whole.start("basic", "hydra.sweeper.n_workers=1").communicate(timeout=600)
    truth = whole.scores()
    yield ["undisturbed, no Slurm", "1", "-", "-", "-", str(whole.begun()), "-"]
    for fault in options.faults:
        found = []
        for again in range(options.times):
            place = root / f"{fault.replace(' ', '-')}-{again}"
            search = Search(lab, options.app, place, options.storage)
            found.append(disturbed(search, fault, truth, options))
            print(fault, again, found[-1], file=sys.stderr, flush=True)
        yield [
            fault,
            str(len(found)),
            f"{sum(ran.same for ran in found)} of {len(found)}",
            str(sum(ran.zombies for ran in found)),
            str(sum(ran.twice for ran in found)),
            str(max(ran.begun for ran in found)),
            f"{statistics.median(ran.seconds for ran in found):.0f}",
        ]


def lab_at(root: Path, port: int) -> Any:
    """Return the private Slurm that the tests use."""
    file = PROJECT / "tests/cluster/slurm/lab.py"
    spec = importlib.util.spec_from_file_location("slurm_lab", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["slurm_lab"] = module
    spec.loader.exec_module(module)
    return module.Lab(root, port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--app", choices=APPS, default="quadratic")
    parser.add_argument("--faults", nargs="+", choices=FAULTS)
    parser.add_argument("--storage", help="URL; {name} in it becomes the study's name")
    parser.add_argument("--restart-storage", help="command that restarts the storage's server")
    parser.add_argument("--port", type=int, default=21800)
    options = parser.parse_args()
    known = [name for name in FAULTS if name != "storage" or options.restart_storage]
    options.faults = options.faults or known
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="slurm-lab-") as name:
        Path(name).chmod(0o755)
        lab = lab_at(Path(name) / "slurm", options.port)
        try:
            lab.start()
            found = list(measured(lab, Path(name) / options.app, options))
            head = ("fault", "runs", "same table", "left running", "computed twice",
                    "most trial starts", "seconds")  # fmt: skip
            print(describe("optuna", "submitit"), "", table(head, found), sep="\n")
            search = Search(lab, options.app, Path(name) / "first", None)
            to_submission, to_step = first_step(search)
            print(
                f"\nline to submission {to_submission:.1f} s, job's start to first step at most "
                f"{to_step:.1f} s; together {to_submission + to_step:.1f} s"
            )
        finally:
            lab.stop()


if __name__ == "__main__":
    main()
