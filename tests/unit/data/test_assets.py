import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import MappingProxyType

import pytest

from stagetree.core.errors import AssetError
from stagetree.data import assets
from stagetree.data.assets import ASSETS


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGETREE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_index(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def local_asset(tmp_path, monkeypatch, no_index):
    """An asset whose distribution pip finds in a local folder, so no network is needed."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "toy_asset-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/data/words.txt", "real data\n")
        archive.writestr("toy/data/other.txt", "not wanted\n")
        archive.writestr("../escaped.txt", "must never be written\n")
        info = "toy_asset-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-asset\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    asset = assets.Asset(
        name="toy",
        distribution="toy-asset",
        version="1.0",
        sha256=_sha256(wheel),
        form="wheel",
        members=("toy/data/words.txt",),
        licence="MIT",
        source="nowhere",
        summary="a toy",
        size_mb=0.1,
    )
    return _known(monkeypatch, asset)


def _sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _known(monkeypatch, asset):
    monkeypatch.setattr(assets, "ASSETS", MappingProxyType({asset.name: asset}))
    return asset


def test_cache_dir_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("STAGETREE_CACHE", str(tmp_path))
    assert assets.cache_dir() == tmp_path
    monkeypatch.delenv("STAGETREE_CACHE")
    assert assets.cache_dir().name == "stagetree"


@pytest.mark.parametrize("ask", [assets.asset_dir, assets.fetch, assets.revision])
def test_unknown_asset_names_the_nearest(ask):
    with pytest.raises(AssetError, match="Did you mean 'minilm_l6'"):
        ask("minilm_l7")


def test_asset_dir_never_downloads_and_says_what_to_run(cache):
    with pytest.raises(AssetError, match="run: stagetree assets get pii"):
        assets.asset_dir("pii")
    assert not cache.exists()


def test_fetch_keeps_named_members_and_a_record(cache, local_asset, tmp_path):
    place = assets.fetch("toy")
    assert sorted(path.name for path in place.iterdir()) == ["asset.json", "words.txt"]
    assert (place / "words.txt").read_text() == "real data\n"
    record = json.loads((place / "asset.json").read_text())
    assert (record["licence"], record["sha256"]) == ("MIT", local_asset.sha256)
    assert assets.asset_dir("toy") == place
    assert [path.name for path in (cache / "assets").iterdir()] == [place.name]
    assert not list(tmp_path.rglob("escaped.txt"))


def test_fetch_again_does_not_ask_pip(cache, local_asset, monkeypatch):
    place = assets.fetch("toy")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert assets.fetch("toy") == place


def test_half_written_directory_is_replaced(cache, local_asset):
    place = assets.fetch("toy")
    (place / "asset.json").unlink()
    (place / "words.txt").write_text("half")
    with pytest.raises(AssetError):
        assets.asset_dir("toy")
    assert (assets.fetch("toy") / "words.txt").read_text() == "real data\n"


def test_altered_distribution_is_refused(cache, local_asset, monkeypatch):
    _known(monkeypatch, dataclasses.replace(local_asset, sha256="0" * 64))
    with pytest.raises(AssetError, match=r"(?s)toy.*HASH"):
        assets.fetch("toy")
    assert not list((cache / "assets").iterdir())


def test_pip_failure_shows_the_last_lines_of_pip(cache, no_index):
    with pytest.raises(AssetError, match=r"(?s)presidio-evaluator==0\.3\.2.*No matching dist"):
        assets.fetch("pii")


def test_missing_member_is_an_asset_error(cache, local_asset, monkeypatch):
    _known(monkeypatch, dataclasses.replace(local_asset, members=("toy/data/gone.txt",)))
    with pytest.raises(AssetError, match=r"cannot unpack.*gone\.txt"):
        assets.fetch("toy")


def test_missing_pip_says_so(cache, local_asset, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(AssetError, match="ensurepip"):
        assets.fetch("toy")


def _fetch_in_process(asset, results):
    assets.ASSETS = MappingProxyType({asset.name: asset})
    results.put(str(assets.fetch(asset.name)))


def test_two_processes_fetch_at_once(cache, local_asset):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [
        context.Process(target=_fetch_in_process, args=(local_asset, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    places = {results.get(timeout=240) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(places) == 1
    assert (Path(places.pop()) / "words.txt").read_text() == "real data\n"
    assert len(list((cache / "assets").iterdir())) == 1


def test_sdist_with_a_nested_archive(tmp_path):
    inner = tmp_path / "inner.tar.gz"
    (tmp_path / "truth.txt").write_text("1\t2.0\tfine\n")
    with tarfile.open(inner, "w:gz") as archive:
        archive.add(tmp_path / "truth.txt", "deep/truth.txt")
    outer = tmp_path / "toy-1.0.tar.gz"
    with tarfile.open(outer, "w:gz") as archive:
        archive.add(inner, "toy-1.0/resources/inner.tar.gz")
    asset = dataclasses.replace(
        ASSETS["sentiment"],
        members=("deep/truth.txt",),
        nested="toy-1.0/resources/inner.tar.gz",
    )
    target = tmp_path / "target"
    target.mkdir()
    assets._unpack(asset, outer, target)
    assert (target / "truth.txt").read_text() == "1\t2.0\tfine\n"


def test_every_asset_is_pinned_and_stored_flat():
    for name, asset in ASSETS.items():
        assert asset.name == name
        assert len(asset.sha256) == 64
        assert len(asset.files) == len(asset.members)
        assert all(os.sep not in file and not file.startswith(".") for file in asset.files)
        assert assets.revision(name) == asset.sha256


def test_real_assets_come_from_the_index(pii_asset, sentiment_asset):
    assert (pii_asset / "templates.txt").stat().st_size > 10_000
    assert (sentiment_asset / "movieReviewSnippets_GroundTruth.txt").stat().st_size > 1_000_000


def test_importing_sources_and_tasks_imports_nothing_heavy():
    code = (
        "import sys; from stagetree.data.sources.base import SOURCES; "
        "from stagetree.tasks.base import TASKS; import stagetree.data.load; "
        "import stagetree.data.tokenized; list(SOURCES), list(TASKS); "
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
