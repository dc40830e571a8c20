"""OpenVINO and NNCF tell nobody that they are used."""

import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
from stagetree.core.errors import ModelError
from stagetree.models import load
from stagetree.models.forms import openvino as form
from stagetree.models.untracked import untracked
try:
    form._request(Path("nothing.xml"), 1)
except ModelError:
    pass
assert "openvino" in sys.modules
with untracked():
    import nncf
    from nncf.telemetry.wrapper import NNCFTelemetry, telemetry
assert not isinstance(telemetry, NNCFTelemetry)
assert "openvino_telemetry" not in sys.modules
import openvino_telemetry
"""


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs stagetree[openvino]")
def test_no_telemetry_is_made_and_nothing_is_left_in_the_home_directory(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path)}
    for name in ("CI", "TF_BUILD", "JENKINS_URL", "NNCF_CI", "NNCF_DEV"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=environment)
    assert not (tmp_path / "intel").exists()
