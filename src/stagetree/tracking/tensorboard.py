"""Mirrors runs to TensorBoard: one directory of event files a trial."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagetree.tracking.base import TRACKERS
from stagetree.tracking.flat import flat_config
from stagetree.tracking.mirror import Mirror, MirrorConfig

if TYPE_CHECKING:
    from stagetree.core.reporting import RunInfo


@dataclass
class TensorboardConfig(MirrorConfig):
    """Options of the TensorBoard mirror.

    Attributes:
        dir: Directory for ``tensorboard --logdir``; by default ``tensorboard`` below the
            project's root.
    """

    kind: str = "tensorboard"
    dir: str | None = None


@TRACKERS.register("tensorboard")
class TensorboardTracker(Mirror):
    """Writes event files: series, final numbers, HParams and texts.

    Files are written by TensorBoard's own parts, without torch and without a thread, so that a
    full disk is an error here and now.
    """

    kind = "tensorboard"
    Config = TensorboardConfig
    service = "TensorBoard"
    library = "tensorboard"
    extra = "tensorboard"

    def __init__(self, config: Any, root: Path) -> None:
        super().__init__(config, root)
        self._file: Any = None

    def _open(self, run: RunInfo) -> bool:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        home = Path(self.config.dir) if self.config.dir else self.root / "tensorboard"
        directory = home / _place(run)
        directory.mkdir(parents=True, exist_ok=True)
        self._file = RecordWriter((directory / _file_name()).open("wb"))
        self._event(file_version="brain.Event:2")
        # A second attempt takes the place of the first: TensorBoard drops what went before.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._event(step=0, session_log=start)
        config = flat_config(run.config, run.params)
        tuned = dict(run.params) or {
            key: value for key, value in config.items() if key.split(".")[0] in _stages(run)
        }
        for summary in _hparams(run, tuned, self._objectives):
            self._event(summary=summary)
        self._text("config", "\n".join(f"    {key}: {value}" for key, value in config.items()))
        self._text("command", f"    {run.command}")
        self._flush()
        return True

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from tensorboard.compat.proto import summary_pb2

        items = [summary_pb2.Summary.Value(tag=tag, simple_value=n) for tag, n in values.items()]
        self._event(step=step, summary=summary_pb2.Summary(value=items))

    def _flush(self) -> None:
        self._file.flush()

    def _close(self, status: str, summary: Mapping[str, object]) -> None:
        lines = [f"**{status}**", *(["reused stages"] if self.reused else [])]
        lines += [f"    {key}: {value}" for key, value in summary.items()]
        self._text("status", "\n\n".join(lines))
        self._event(summary=_end(status))
        file, self._file = self._file, None
        file.flush()
        file.close()

    def _event(self, **fields: Any) -> None:
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time.time(), **fields)
        self._file.write(event.SerializeToString())

    def _text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
        from tensorboard.plugins.text import metadata

        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[text.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        )
        described = metadata.create_summary_metadata(display_name=tag, description="")
        value = summary_pb2.Summary.Value(tag=tag, metadata=described, tensor=tensor)
        self._event(summary=summary_pb2.Summary(value=[value]))


def _place(run: RunInfo) -> str:
    """Return the run's name in TensorBoard: ``STUDY/NUMBER``, or its directory's last two names."""
    if run.study is not None:
        return f"{run.study}/{run.number}"
    return "/".join(run.directory.resolve().parts[-2:])


def _file_name() -> str:
    """Return a new name of the form by which TensorBoard knows event files, oldest first."""
    host, process = socket.gethostname(), os.getpid()
    return f"events.out.tfevents.{time.time():.0f}.{host}.{process}.{secrets.token_hex(4)}"


def _stages(run: RunInfo) -> set[str]:
    stages = run.config.get("stages")
    return {str(name) for name in stages} if isinstance(stages, Mapping) else set()


def _hparams(run: RunInfo, values: Mapping[str, object], objectives: list[str]) -> list[Any]:
    """Return the summaries that give the run its line in the HParams table."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

    named = {key: value if _scalar(value) else str(value) for key, value in values.items()}
    columns = [
        api_pb2.HParamInfo(name=key, type=_type(value)) for key, value in sorted(named.items())
    ]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=f"objective/{name}"), display_name=name)
        for name in objectives
    ]
    experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics)
    data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    return [
        _plugin_summary(metadata.EXPERIMENT_TAG, data),
        summary_v2.hparams_pb(named, trial_id=_place(run)),
    ]


def _end(status: str) -> Any:
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    good = status in ("complete", "pruned")
    info = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE,
        end_time_secs=time.time(),
    )
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    return _plugin_summary(metadata.SESSION_END_INFO_TAG, data)


def _plugin_summary(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata

    described = metadata.create_summary_metadata(data)
    value = summary_pb2.Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])


def _scalar(value: object) -> bool:
    return isinstance(value, bool | int | float | str)


def _type(value: object) -> Any:
    from tensorboard.plugins.hparams import api_pb2

    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    number = isinstance(value, int | float)
    return api_pb2.DATA_TYPE_FLOAT64 if number else api_pb2.DATA_TYPE_STRING
