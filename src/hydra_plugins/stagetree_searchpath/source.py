"""A config source that sees two folders of a project and nothing else of it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from stagetree.core import project


class ProjectConfigSource(ConfigSource):
    """Reads ``experiment/NAME`` from ``experiments/NAME.yaml`` and ``sweep/NAME`` alike.

    Putting the whole project directory on Hydra's search path would offer every folder of it,
    runs included, as a config group, and make ``--help`` walk them all.
    """

    @staticmethod
    def scheme() -> str:
        """Return the scheme used in ``hydra.searchpath``."""
        return "stagetree"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one file.

        Raises:
            ConfigLoadError: There is no such file.
        """
        file = self._file(config_path)
        if file is None or not file.is_file():
            raise ConfigLoadError(f"Config not found : {config_path}")
        text = file.read_text(encoding="utf-8")
        return ConfigResult(
            config=OmegaConf.create(text),
            path=self.full_path(),
            provider=self.provider,
            header=ConfigSource._get_header_dict(text[:512]),
        )

    def available(self) -> bool:
        """Return whether there is anything to read."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return whether the path is the root, one of the two groups, or a folder in one."""
        path = config_path.strip("/")
        if not path:
            return True
        folder = self._folder(path)
        return folder is not None and folder.is_dir()

    def is_config(self, config_path: str) -> bool:
        """Return whether the path names a YAML file in one of the groups."""
        file = self._file(config_path)
        return file is not None and file.is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names below a path, sorted."""
        path = config_path.strip("/")
        if not path:
            groups = [group for group in project.FOLDERS if self.is_group(group)]
            return [] if results_filter == ObjectType.CONFIG else sorted(groups)
        folder = self._folder(path)
        if folder is None or not folder.is_dir():
            return []
        names: list[str] = []
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and results_filter != ObjectType.CONFIG:
                names.append(entry.name)
            elif entry.suffix == ".yaml" and results_filter != ObjectType.GROUP:
                names.append(entry.stem)
        return sorted(set(names))

    def _folder(self, path: str) -> Path | None:
        group, _, rest = path.strip("/").partition("/")
        if group not in project.FOLDERS:
            return None
        return project.root() / project.FOLDERS[group] / rest

    def _file(self, path: str) -> Path | None:
        folder = self._folder(self._normalize_file_name(path))
        return None if path.strip("/") in project.FOLDERS else folder
