import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.faults

KEY = "0123456789" * 4

SCRIPT = """
    import contextlib, logging, os, signal, sys
    from pathlib import Path
    from stagetree.core.details import Details, Sample
    from stagetree.core.reporting import Reporters, RunInfo, StageInfo, StageOutcome
    from stagetree.tracking.base import trackers
    from stagetree.tracking.wandb_mirror import WandbConfig
    from stagetree.tracking.wandb_session import Mode

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    root, mode, trials = Path(sys.argv[1]), Mode(sys.argv[2]), int(sys.argv[3])
    def details(samples):
        rows = [Sample("some text " * 50, "a", "b", right=False)] * samples
        return Details({"a": {"f1": 0.5}}, ["a"], [[1]], rows)

    def service():
        from wandb.sdk import wandb_setup
        return wandb_setup.singleton()._connection._proc._process

    stop = [int(word) for word in os.environ.get("STOP", "").split()]
    for number in range(trials):
        hears = Reporters(trackers(WandbConfig(mode=mode), root))
        hears.run_started(RunInfo(str(number), root.parent / "trials" / str(number), {}))
        stage = StageInfo("finetune", "finetune", 0, 1, "")
        hears.stage_started(stage)
        if str(number) == os.environ.get("FILL"):
            with contextlib.suppress(OSError), (root / "wandb/filler").open("wb", 0) as filler:
                while True:
                    filler.write(b"x" * 4096)
        if number in stop:
            service().send_signal(signal.SIGSTOP)
        hears.evaluated(stage, 1.0, {"f1": 0.5})
        hears.stage_finished(stage, StageOutcome({"f1": 0.5}, 1.0, root, details))
        hears.run_finished("complete", {})
    if trials in stop:
        service().send_signal(signal.SIGSTOP)
    print("done")
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that plays trials in a new process; gives process and seconds."""

    def start(mode, trials=2, root=None, before="", prefix=(), **environment):
        kept = {name: value for name, value in os.environ.items() if "WANDB" not in name}
        began = time.monotonic()
        process = subprocess.run(
            [
                *prefix,
                sys.executable,
                "-c",
                before + textwrap.dedent(SCRIPT),
                str(root or tmp_path / "root"),
                mode,
                str(trials),
            ],
            env=kept | {"NETRC": str(tmp_path / "netrc"), "no_proxy": "127.0.0.1"} | environment,
            capture_output=True,
            text=True,
            timeout=240,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return process, time.monotonic() - began

    return start


def warnings(process):
    return [line for line in process.stderr.splitlines() if line.startswith("WARNING")]


def recorded(tmp_path, trials):
    return all(
        json.loads((tmp_path / "trials" / str(number) / "summary.json").read_text())["stages"]
        for number in range(trials)
    )


def offline_runs(tmp_path):
    return list((tmp_path / "root" / "wandb").glob("offline-run-*/*.wandb"))


def assert_kept_offline(process, seconds, tmp_path, trials=2):
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 1, process.stderr
    assert "offline" in warnings(process)[0]
    assert "Traceback" not in process.stderr
    assert len(offline_runs(tmp_path)) == trials
    assert recorded(tmp_path, trials)
    assert seconds < 45  # on however busy a machine; W&B alone takes more than 100


def waiting_connections(listening):
    listening.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


def test_a_directory_that_cannot_be_written_is_one_warning(run, tmp_path):
    (tmp_path / "root").write_text("a file is in the way")
    process, _ = run("offline", trials=1)
    assert process.returncode == 0
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 1
    assert "goes on without it" in process.stderr
    assert recorded(tmp_path, 1)


@pytest.mark.parametrize("key", [KEY, "short"])
def test_a_key_without_network_falls_back_to_offline(run, tmp_path, key):
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        process, seconds = run("online", WANDB_API_KEY=key, WANDB_BASE_URL=url)
    assert_kept_offline(process, seconds, tmp_path)


def test_a_server_that_never_answers_costs_ten_seconds_once(run, tmp_path):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        process, seconds = run("auto", WANDB_API_KEY=KEY, WANDB_BASE_URL=url)
        assert waiting_connections(mute) == 1
    assert_kept_offline(process, seconds, tmp_path)


@pytest.mark.parametrize(
    ("status", "answer"), [(401, {"errors": [{}]}), (200, {"data": {"viewer": None}})]
)
def test_a_bad_key_falls_back_to_offline(run, tmp_path, status, answer):
    with graphql(status, answer) as url:
        process, seconds = run("online", WANDB_API_KEY=KEY, WANDB_BASE_URL=url)
    assert_kept_offline(process, seconds, tmp_path)
    assert "key" in warnings(process)[0]


def test_a_service_that_dies_costs_its_run_only(run, tmp_path):
    # This answer is enough to look like W&B and too little to open a run.
    with graphql(200, {"data": {"viewer": {"username": "me"}}}) as url:
        process, _ = run("online", trials=3, WANDB_API_KEY=KEY, WANDB_BASE_URL=url)
    assert process.returncode == 0
    assert process.stdout == "done\n"
    assert len(warnings(process)) <= 2  # once for the run it died in, once for going offline
    assert len(offline_runs(tmp_path)) >= 2
    assert recorded(tmp_path, 3)


def test_a_service_that_hangs_is_ended_and_costs_its_run_only(run, tmp_path):
    process, seconds = run("offline", trials=3, STOP="1")
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 1, process.stderr
    assert "goes on without it" in process.stderr
    assert "Traceback" not in process.stderr
    assert len(offline_runs(tmp_path)) == 3
    assert recorded(tmp_path, 3)
    assert seconds < 45  # on however busy a machine; 5 of them are waited


def test_a_service_that_hangs_again_is_left_alone(run, tmp_path):
    process, seconds = run("offline", trials=5, STOP="1 2")
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 2, process.stderr
    assert len(offline_runs(tmp_path)) == 3
    assert recorded(tmp_path, 5)
    assert seconds < 45


def test_a_service_that_hangs_at_the_end_holds_up_nothing(run, tmp_path):
    process, seconds = run("offline", trials=2, STOP="2")
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert warnings(process) == []
    assert "Traceback" not in process.stderr
    assert seconds < 45


def mounts():
    probe = ("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt")
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that gives what runs a command with a small disk for W&B's directory."""
    if not mounts():
        pytest.skip("this machine does not permit private mounts")
    folder = tmp_path / "root" / "wandb"
    folder.mkdir(parents=True)

    def prefix(size):
        mount = f'mount -t tmpfs -o size={size} tmpfs {folder}; exec "$@"'
        return ("unshare", "-rm", "sh", "-c", mount, "sh")

    return prefix


def test_a_full_disk_in_its_directory_harms_nothing_else(run, tmp_path, small_disk):
    process, seconds = run("offline", trials=3, prefix=small_disk("64k"))
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 3  # one a run
    assert "No space" in process.stderr or "to be free" in process.stderr
    assert "Traceback" not in process.stderr
    assert recorded(tmp_path, 3)
    assert seconds < 45


def test_a_disk_that_fills_up_during_a_run_harms_nothing_else(run, tmp_path, small_disk):
    process, seconds = run("offline", trials=3, prefix=small_disk("8m"), FILL="1")
    assert process.returncode == 0, process.stderr
    assert process.stdout == "done\n"
    assert 1 <= len(warnings(process)) <= 2  # in the run it filled up in, and in the one after
    assert recorded(tmp_path, 3)
    assert seconds < 45


def test_a_full_disk_is_one_warning_and_the_record_stays_readable(run, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
    process, _ = run("disabled", trials=1, before=limit)
    assert process.returncode == 0
    assert process.stdout == "done\n"
    assert len(warnings(process)) == 1
    assert "gaps" in process.stderr

    from stagetree.tracking.record import read

    events = read(tmp_path / "trials" / "0")
    assert [event["event"] for event in events][:1] == ["run_started"]
    names = {path.name for path in (tmp_path / "trials" / "0").iterdir()}
    assert names == {"record.jsonl"}  # no half summary


class graphql:  # noqa: N801 - used like a function
    """A server that gives every request the same answer."""

    def __init__(self, status, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
