"""What the ``ray`` launcher refuses before anything starts."""

import socket
import sys
import threading
from typing import Any

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.types import HydraContext
from omegaconf import OmegaConf

from hydra_plugins.stagetree_launcher.ray import RayLauncher
from hydra_plugins.stagetree_launcher.ray_config import RayLauncherConf
from stagetree.core.errors import ConfigError, StagetreeError


def set_up(**options: Any) -> None:
    defaults = OmegaConf.create({"hydra": {"launcher": OmegaConf.structured(RayLauncherConf)}})
    config: Any = OmegaConf.to_container(defaults.hydra.launcher, resolve=True)
    del config["_target_"]
    launcher = RayLauncher(**{**config, "address": None, **options})
    context = HydraContext(config_loader=None, callbacks=Callbacks())  # type: ignore[arg-type]
    launcher.setup(hydra_context=context, task_function=print, config=defaults)


def test_nothing_is_wrong_with_the_defaults() -> None:
    pytest.importorskip("ray")
    set_up()


def test_a_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # what Python takes for "cannot be imported"
    with pytest.raises(ConfigError, match=r'pip install "stagetree\[ray\]"'):
        set_up()


def test_all_faults_are_told_at_once() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError) as error:
        set_up(address="here", num_gpus=-1, max_restarts=-2)
    assert str(error.value).splitlines() == [
        "hydra.launcher.num_gpus: expected 0 or more but got -1",
        "hydra.launcher.max_restarts: expected 0 or more but got -2",
        "hydra.launcher.address: expected auto, HOST:PORT or ray://HOST:PORT but got 'here'",
    ]


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nobody_listens(prefix: str) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StagetreeError, match=f"at {prefix}127.0.0.1:{port} within 10 s"):
        set_up(address=f"{prefix}127.0.0.1:{port}")


def test_an_address_where_something_else_listens() -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(StagetreeError, match="what answers there is no Ray"):
            set_up(address=f"127.0.0.1:{server.getsockname()[1]}")


def test_an_address_where_nobody_answers_in_time() -> None:
    pytest.importorskip("ray")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(StagetreeError, match=r"within 0\.2 s: timed out"),
    ):
        set_up(address=f"127.0.0.1:{server.getsockname()[1]}", connect_timeout=0.2)


def test_the_search_on_ray_composes_and_takes_the_gpus_of_a_trial(in_project) -> None:
    config = in_project(["+sweep=cluster/ray", "resources.gpus_per_trial=2"], with_hydra=True)
    launcher = config.hydra.launcher
    assert launcher["_target_"] == "hydra_plugins.stagetree_launcher.ray.RayLauncher"
    assert launcher.num_gpus == 2
    assert config.hydra.sweeper.n_workers == 8
