"""Puts a project's ``experiments`` and ``sweeps`` on the search path of its own command line."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from stagetree.core import project


class ProjectSearchPath(SearchPathPlugin):
    """Adds the project where its ``conf`` is the application's; other Hydra apps see nothing.

    ``hydra.searchpath`` in the configuration would do for running, but ``--help`` and tab
    completion list groups without it.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the project's source."""
        conf = project.root() / "conf"
        for element in search_path.get_path():
            path = element.path.removeprefix("file://")
            if element.provider == "main" and Path(path).resolve() == conf:
                search_path.append("stagetree", "stagetree://project")
                return
