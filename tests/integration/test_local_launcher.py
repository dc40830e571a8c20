"""Hydra's own contract for launchers, kept by ours."""

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.version import _UNSPECIFIED_, VersionBase

from hydra_plugins.stagetree_launcher.local import LocalLauncher


@pytest.fixture(autouse=True)
def no_version_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra's suites expect a process in which nobody has chosen a version base yet."""
    monkeypatch.setattr(VersionBase.instance(), "version_base", _UNSPECIFIED_)


def test_hydra_finds_the_launcher() -> None:
    names = [plugin.__name__ for plugin in Plugins.instance().discover(Launcher)]
    assert LocalLauncher.__name__ in names


@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", [])])
class TestLocalLauncher(LauncherTestSuite):
    """Sweeps in the calling process's app."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=local"])],
)
class TestLocalLauncherIntegration(IntegrationTestSuite):
    """Sweeps from a command line."""
