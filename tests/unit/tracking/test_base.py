import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ConfigError
from stagetree.tracking.base import TRACKERS, trackers
from stagetree.tracking.none import NoTracker, NoTrackerConfig
from stagetree.tracking.record import LocalRecord

CONF = Path(__file__).parents[3] / "conf" / "tracker"


def test_the_local_record_comes_first(tmp_path):
    first, second = trackers(NoTrackerConfig(), tmp_path)
    assert isinstance(first, LocalRecord)
    assert isinstance(second, NoTracker)


def test_an_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'wandb'"):
        trackers(OmegaConf.create({"kind": "wandbd"}), tmp_path)


@pytest.mark.parametrize("kind", list(TRACKERS))
def test_every_tracker_has_a_file_that_fits_its_config(kind):
    text = OmegaConf.to_container(OmegaConf.load(CONF / f"{kind}.yaml"))
    assert text.pop("defaults")[0] == f"/schema/tracker/{kind}@_here_"
    merged = OmegaConf.merge(OmegaConf.structured(TRACKERS[kind].Config), text)
    assert merged.kind == kind


def test_listing_trackers_imports_nothing_heavy():
    code = (
        "import sys; from stagetree.tracking.base import TRACKERS; list(TRACKERS);"
        "assert not {'wandb', 'torch', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
