"""Opening and closing a W&B run: which id, where to, and what happens when it fails."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stagetree.tracking.flat import flat_config
from stagetree.tracking.wandb_file import wait_until_whole
from stagetree.tracking.wandb_patience import PATIENCE, patience, watch_exit, worn_out
from stagetree.tracking.wandb_session import Mode, fall_back, resolve, restart_service

if TYPE_CHECKING:
    from stagetree.core.reporting import RunInfo

_ROOM = 4_000_000
"""Bytes that must be free for a run to be begun."""

_DATA = "WANDB_DATA_DIR"
_chosen: list[str] = []


@dataclass(frozen=True)
class Identity:
    """What a W&B run is called and where it belongs.

    Attributes:
        id: The same whenever the same run starts again; ``None``: whoever started the process
            has said it in the environment.
        name: Displayed name.
        group: Group it is shown in.
        job_type: What kind of run it is.
        notes: A command line that runs it again.
        config: Flat configuration.
    """

    id: str | None
    name: str
    group: str | None
    job_type: str
    notes: str
    config: Mapping[str, object]


def identity(run: RunInfo, options: Any) -> Identity:
    """Return who a run is in W&B.

    A run that an agent of a W&B sweep started has the id that the agent gave it.
    """
    given = driven() and run.study is None
    return Identity(
        id=None if given else stable_id(run.study or "", str(run.number), run.directory),
        name=options.name or run.name,
        group=options.group or run.study,
        job_type=options.job_type or ("trial" if run.study else "run"),
        notes=run.command,
        config=flat_config(run.config, run.params),
    )


def driven() -> bool:
    """Return whether an agent of a W&B sweep started this process."""
    return all(os.environ.get(name) for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"))


def stable_id(study: str, number: str, directory: Path) -> str:
    """Return the same id whenever the same run starts again."""
    text = "\n".join([study, number, str(directory.resolve())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_run(identity: Identity, options: Any, root: Path) -> Any:
    """Open a W&B run: online where that works, else offline; ``None`` when W&B is disabled.

    Args:
        identity: Who it is.
        options: Instance of ``WandbConfig``, or like one.
        root: Directory that gets the folder ``wandb`` unless the options name another.

    Raises:
        Exception: W&B cannot even write offline.
    """
    wanted = options.mode if isinstance(options.mode, Mode) else Mode(options.mode)
    mode = resolve(wanted, options.init_timeout)
    if mode is Mode.disabled or worn_out():
        return None
    directory = _writable(Path(options.dir) if options.dir else root)
    try:
        return _init(identity, options, directory, "online" if mode is Mode.online else "offline")
    except Exception as error:  # noqa: BLE001 - W&B's service may have died, or be stuck
        if mode is Mode.online:
            fall_back(error)
        restart_service()
        return _init(identity, options, directory, "offline")


def close_run(run: Any, code: int, options: Any) -> None:
    """End a W&B run with an exit code and, if it is offline, wait until its file is whole.

    Raises:
        TimeoutError: W&B went on for longer than the options allow; later runs stay offline.
    """
    seconds = PATIENCE if run.offline else options.finish_timeout + PATIENCE
    try:
        with patience(seconds, "end the run"):
            run.finish(exit_code=code)
    except TimeoutError as error:
        if not run.offline:
            fall_back(error)
        restart_service()
        raise
    if run.offline:
        wait_until_whole(Path(run.dir).parent / f"run-{run.id}.wandb")


def _init(
    identity: Identity, options: Any, directory: Path, mode: Literal["online", "offline"]
) -> Any:
    import wandb

    seconds = options.init_timeout + (PATIENCE if mode == "online" else 0)
    with patience(seconds, "open a run"):
        run = wandb.init(
            project=options.project,
            entity=options.entity,
            group=identity.group,
            job_type=identity.job_type,
            name=identity.name,
            notes=identity.notes or None,
            tags=list(options.tags),
            config=dict(identity.config),
            dir=str(directory),
            mode=mode,
            id=identity.id,
            resume="allow",
            reinit="finish_previous",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                init_timeout=options.init_timeout,
                finish_timeout=options.finish_timeout,
                finish_timeout_raises=True,
                x_disable_stats=not options.system_metrics,
                x_save_requirements=False,
            ),
        )
    watch_exit()
    return run


def _writable(directory: Path) -> Path:
    """Return the directory, made if need be; W&B would move to a temporary one in silence.

    Raises:
        OSError: Nothing, or next to nothing, can be written there.
    """
    folder = directory / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"expected a writable directory but got {folder}")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:  # W&B's own logs would fill the terminal with what they cannot write
        raise OSError(
            errno.ENOSPC, f"expected {_ROOM} bytes to be free but got {free}", str(folder)
        )
    _stage_in(folder.resolve())
    return directory.resolve()


def _stage_in(folder: Path) -> None:
    """Let W&B keep the files of tables and models here until they are uploaded, not at home."""
    if os.environ.get(_DATA) in (None, "", *_chosen):
        _chosen.append(str(folder))
        os.environ[_DATA] = str(folder)
