"""Handing jobs to Slurm through submitit."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hydra_plugins.stagetree_launcher._freeze import Frozen, freeze
from hydra_plugins.stagetree_launcher._slurm_job import NodeJob
from hydra_plugins.stagetree_launcher._slurm_wait import wait
from stagetree.core.errors import ConfigError, Fault
from stagetree.core.submissions import FOLDER, Submission, write
from stagetree.core.threads import THREAD_LIMITS
from stagetree.pipeline.environment import commit
from stagetree.search.worker import Worker

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from hydra_plugins.stagetree_launcher._batch import Batch

_NAMES = {
    "timeout_min": "time",
    **dict.fromkeys(("partition", "account", "qos", "cpus_per_task", "gpus_per_node", "gres")),
    **dict.fromkeys(("constraint", "exclude", "nodes", "comment", "array_parallelism")),
    **dict.fromkeys(("signal_delay_s", "stderr_to_stdout", "srun_args")),
}
"""Options that go through as they are, and submitit's name for them where it is another."""


@dataclass(frozen=True)
class Line:
    """A command line whose jobs go to Slurm.

    Attributes:
        batch: The jobs.
        options: The launcher's options.
    """

    batch: Batch
    options: Mapping[str, Any]

    @property
    def home(self) -> Path:
        """Directory that the jobs' output lies in."""
        return Path(str(self.batch.config.hydra.sweep.dir)).absolute()

    @property
    def name(self) -> str:
        """Name of the jobs."""
        return str(self.options["name"] or self.home.name)

    @property
    def total(self) -> int | None:
        """How many trials the study shall have."""
        task = self.batch.task
        return task.plan.total if isinstance(task, Worker) else None


def launch(batch: Batch, options: Mapping[str, Any]) -> Sequence[JobReturn]:
    """Submit the jobs and wait for them; see :meth:`SlurmLauncher.launch`."""
    line = Line(batch, options)
    submission = submit(line)
    _announce(line, submission)
    if line.options["detach"]:
        raise SystemExit(0)
    return wait(batch.task, submission, Path(submission.script).parent)


def submit(line: Line) -> Submission:
    """Freeze the code and submit the jobs.

    Raises:
        ConfigError: Slurm refused.
    """
    folder = Path(line.options["submitit_folder"] or line.home / FOLDER / "slurm").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    frozen = freeze(line.home / FOLDER / "code")
    jobs = [
        NodeJob(
            packed=line.batch.payload(place),
            move=frozen.move,
            results=folder,
            delay=int(line.options["signal_delay_s"]),
            limit=line.options["max_num_timeout"],
        )
        for place in range(len(line.batch.overrides))
    ]
    ids = _hand_over(line, folder, frozen, jobs)
    array = ids[0].partition("_")[0]
    submission = Submission(
        scheduler="slurm",
        jobs=tuple(ids),
        script=str(folder / f"{array}_submission.sh"),
        logs=str(folder / f"{array}_*_log.out"),
        code=str(frozen.directory),
        host=socket.gethostname(),
        total=line.total,
    )
    write(folder, submission)
    return submission


def _hand_over(line: Line, folder: Path, frozen: Frozen, jobs: Sequence[NodeJob]) -> list[str]:
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    options = {key: _plain(value) for key, value in line.options.items()}
    python = options["python"] or shlex.quote(sys.executable)
    chosen = {
        theirs or ours: options[ours]
        for ours, theirs in _NAMES.items()
        if options[ours] is not None
    }
    if options["mem_gb"] is not None:
        chosen["mem"] = f"{round(options['mem_gb'] * 1024)}M"
    extra = {"requeue": True, **options["additional_parameters"]}
    try:
        executor = submitit.SlurmExecutor(folder=folder, python=f"{python} -P")
        executor.update_parameters(
            **chosen,
            job_name=line.name,
            setup=[*options["setup"], "", *_environment(frozen)],
            additional_parameters=extra,
            wckey=None,
        )
        submitted = executor.submit_array(list(jobs))
    except (FailedJobError, FailedSubmissionError) as error:
        said = [text for text in str(error).splitlines() if text.startswith("sbatch: ")]
        message = f"Slurm refused the jobs: {'; '.join(said) or error}"
        raise ConfigError([Fault("hydra.launcher", message)]) from error
    for job in submitted:
        job.paths.submitted_pickle.chmod(0o600)  # the storage's URL is in it
    return [str(job.job_id) for job in submitted]


def _environment(frozen: Frozen) -> list[str]:
    """Return the shell lines that put the frozen code first and share out threads."""
    path = ":".join(shlex.quote(each) for each in frozen.paths)
    lines = [
        "# the code and configuration of the time of submission",
        f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
    if frozen.project:
        lines.append(f"export STAGETREE_PROJECT={shlex.quote(frozen.project)}")
    made = commit(Path(frozen.moves[0][0])) if frozen.moves else None
    if made:
        lines.append(f"export STAGETREE_COMMIT={shlex.quote(made)}")
    lines.append("# a worker uses the CPUs that it was given")
    lines.append("export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}")
    return lines + [f"export {name}=${{{name}:-$SRUN_CPUS_PER_TASK}}" for name in THREAD_LIMITS]


def _announce(line: Line, submission: Submission) -> None:
    jobs = submission.jobs
    count = "1 worker" if len(jobs) == 1 else f"{len(jobs)} workers"
    ids = jobs[0] if len(jobs) == 1 else f"{jobs[0]} to {jobs[-1]}"
    text = [
        f"submitted {count} to Slurm: {ids}",
        f"script  {_short(submission.script)}",
        f"logs    {_short(submission.logs)}",
    ]
    if line.options["detach"]:
        usual = Path(os.environ.get("STAGETREE_ROOT", "runs"), "studies", line.home.name)
        study = usual.name if usual.absolute() == line.home else _short(str(line.home))
        text.append(f"follow  stagetree status {study}")
        text.append(f"stop    stagetree cancel {study}")
    sys.stdout.write("\n".join(text) + "\n")
    sys.stdout.flush()


def _short(path: str) -> str:
    here = str(Path.cwd()) + os.sep
    return path.removeprefix(here)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
