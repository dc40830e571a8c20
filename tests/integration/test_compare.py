"""``stagetree compare`` on real runs, trials, studies and stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none", "task=classification",
         "data=sentiment", "progress=false")  # fmt: skip


@pytest.fixture(scope="module")
def done(command_at, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A root with two studies and a run outside of them."""
    command = command_at(tmp_path_factory.mktemp("compare") / "runs")
    sweep = ("-m", "stage=distill", "stages.finetune.learning_rate=1e-3,1e-2", *SHORT)
    for words in (
        (*sweep, "hydra.sweeper.study_name=narrow"),
        (*sweep, "stages.distill.temperature=1,3", "hydra.sweeper.study_name=wide"),
        ("stage=finetune", "seed=14", *SHORT),
    ):
        ran = command.run(*words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return command


@pytest.fixture(scope="module")
def single(done) -> Path:
    """The directory of the run outside of a study."""
    (found,) = done.root.glob("outputs/*/*/record.jsonl")
    return Path(found.parent)


def test_trials_differ_in_what_was_searched(done) -> None:
    found = done.json("compare", "narrow:0", "narrow/1", "--examples", "100")
    assert [side["name"] for side in found["sides"]] == ["narrow:0", "narrow:1"]
    assert found["config"] == {"finetune.learning_rate": [0.001, 0.01]}
    trials = done.json("trials", "narrow")
    scores = [trial["stages"][-1]["metrics"]["macro_f1"] for trial in trials]
    assert found["metrics"]["distill"]["macro_f1"] == scores
    for points in found["curves"]["distill"]["loss"]:
        assert points[-1][0] == 1.0
    (answers,) = found["examples"]
    right = [round(48 * trial["stages"][-1]["metrics"]["accuracy"]) for trial in trials]
    assert answers["examples"] == 48
    assert answers["both_right"] + answers["first_only"] == right[0]
    assert answers["both_right"] + answers["second_only"] == right[1]
    assert len(answers["shown"]) == answers["first_only"] + answers["second_only"]
    assert 0 < answers["p"] <= 1


def test_a_run_and_a_trial_show_the_examples_with_their_text(done, single: Path) -> None:
    name = f"{single.parent.name}/{single.name}"
    found = done.json("compare", str(single), "wide:3", name, "--examples", "5")
    assert found["config"]["seed"] == [14, 13, 14]
    assert list(found["metrics"]) == ["finetune", "last stage"]
    against, same = found["examples"]
    assert same == {"unknown": "their last stage is the same result"}
    assert all(item["text"] for item in against["shown"])
    shown = done.stagetree("compare", str(single), "wide:3", "--root", str(done.root))
    assert shown.returncode == 0, shown.stderr
    assert f"A  {single}  complete" in shown.stdout
    assert "McNemar p" in shown.stdout


def test_studies_are_compared_by_their_best_trials_and_their_spaces(done) -> None:
    found = done.json("compare", "narrow", "wide")
    assert [side["trials"] for side in found["sides"]] == [{"complete": 2}, {"complete": 4}]
    best = [done.json("best", name)["number"] for name in ("narrow", "wide")]
    assert [side["name"] for side in found["sides"]] == [f"narrow:{best[0]}", f"wide:{best[1]}"]
    (key,) = found["space"]
    assert key.endswith("temperature")


def test_stored_results_are_compared_with_what_they_were_made_from(done) -> None:
    signatures = [trial["stages"][-1]["signature"] for trial in done.json("trials", "narrow")]
    found = done.json("compare", signatures[0][:10], signatures[1], "narrow:1")
    assert found["config"] == {"finetune.learning_rate": [0.001, 0.01, 0.01]}
    assert list(found["metrics"]) == ["finetune", "distill"]
    assert found["sides"][1]["signature"] == found["sides"][2]["signature"]


def test_a_trial_whose_directory_is_gone_is_compared_by_what_the_study_knows(
    done, tmp_path: Path
) -> None:
    before = done.json("compare", "wide:0", "wide:3")
    moved = done.root / "studies" / "wide" / "3"
    moved.rename(tmp_path / "3")
    try:
        after = done.json("compare", "wide:0", "wide:3")
    finally:
        (tmp_path / "3").rename(moved)
    for part in ("config", "metrics", "curves"):
        assert after[part] == before[part]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["narrow"], 2, "two or more"),
        (["narrow", "wied"], 2, "Did you mean 'wide'?"),
        (["narrow:0", "wied:1"], 2, "Did you mean 'wide'?"),
        (["narrow:0", "narrow:7"], 2, "0 to 1"),
        (["narrow:0", "ffffffff"], 1, "store ls"),
    ],
)
def test_what_cannot_be_compared_is_said(done, words, code, named) -> None:
    ran = done.stagetree("compare", *words, "--root", str(done.root))
    assert ran.returncode == code, ran.stderr
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_run_that_has_finished_no_stage_is_compared_by_settings_and_curves(
    done, single: Path, tmp_path: Path
) -> None:
    lines = (single / "record.jsonl").read_text(encoding="utf-8").splitlines()
    cut = next(at for at, line in enumerate(lines) if '"event": "stage_finished"' in line)
    (tmp_path / "record.jsonl").write_text("\n".join(lines[:cut]) + "\n", encoding="utf-8")
    found = done.json("compare", str(tmp_path), "narrow:1")
    assert found["sides"][0]["status"] == "not finished"
    assert found["config"]["seed"] == [14, 13]
    assert found["metrics"] == {}
    assert all(found["curves"]["finetune"]["loss"])
    (answers,) = found["examples"]
    assert "no finished stage" in answers["unknown"]
    shown = done.stagetree("compare", str(tmp_path), "narrow:1", "--root", str(done.root))
    assert "no stage has finished in all of them" in shown.stdout
