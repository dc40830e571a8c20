from pathlib import Path

import pytest

from stagetree.core.reporting import Reporters, RunInfo, StageInfo, StageOutcome

STAGE = StageInfo(name="finetune", kind="finetune", index=0, total=2, signature="ab" * 32)
REUSED = StageInfo(
    name="distill", kind="distill", index=1, total=2, signature="cd" * 32, reused=True
)


@pytest.fixture
def run_info(tmp_path):
    return RunInfo(
        name="ner/7",
        directory=tmp_path / "trials" / "7",
        config={
            "stages": {"finetune": {"learning_rate": 3e-4, "unfreeze": []}},
            "data": {"kind": "pii", "cache": Path("/somewhere")},
        },
        overrides=["stages.finetune.learning_rate=3e-4"],
        study="ner",
        number=7,
        params={"finetune.learning_rate": 3e-4},
        command="python run.py stages.finetune.learning_rate=3e-4",
    )


@pytest.fixture
def play():
    """Return a function that tells the whole of a small run to reporters."""

    def tell(reporters, run, status="complete", reuse=False, steps=10):
        hears = Reporters(reporters)
        hears.run_started(run)
        for stage in [STAGE, REUSED] if reuse else [STAGE]:
            hears.stage_started(stage)
            for step in range(1, steps + 1):
                hears.stepped(stage, step, steps, {"loss": 1 / step})
            hears.evaluated(stage, 0.5, {"f1": 0.9, "loss": 0.4})
            hears.evaluated(stage, 1.0, {"f1": 0.7, "loss": 0.3})
            hears.stage_finished(stage, StageOutcome({"f1": 0.9}, 2.5, Path("/store/model")))
        hears.run_finished(status, {"f1": 0.9})

    return tell
