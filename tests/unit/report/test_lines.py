import json

from stagetree.core.trials import StageRow, TrialRow
from stagetree.report.lines import (
    best_block,
    front_block,
    infeasible_line,
    savings,
    to_json,
    trial_line,
)


def test_a_complete_trial_on_one_line(rows):
    assert trial_line(rows[1], 7, 12, "f1") == (
        "[ 7/12] trial 1  complete  f1 0.8123  finetune reused, distill 12.3 s  "
        "finetune.learning_rate=0.0003 distill.temperature=2 seed=13"
    )


def test_a_pruned_trial_says_where_and_at_what(rows):
    assert "trial 3  pruned in distill at f1 0.6100  finetune 40.0 s" in trial_line(
        rows[3], 4, 12, "f1"
    )


def test_a_failed_trial_says_why(rows):
    assert "trial 2  failed: TrialFailed: loss is nan" in trial_line(rows[2], 3, 12)


def test_savings_count_time_and_stages_and_states(rows):
    assert savings(rows).splitlines() == [
        "time    1 min 49 s spent in 5 trials; 40.0 s not spent again (1 stage reused)",
        "stages  finetune 3 run, 1 reused; distill 2 run",
        "trials  3 complete, 1 failed, 1 pruned",
    ]


def test_savings_of_nothing():
    assert savings([]).startswith("time    0.0 s spent in 0 trials")


def test_the_best_trial_can_be_copied(rows):
    assert best_block(rows[1], ["f1"]).splitlines() == [
        "best    trial 1  f1 0.8123",
        "params  finetune.learning_rate=0.0003 distill.temperature=2 seed=13",
        "model   /store/distill/model",
        "rerun   python run.py stages.finetune.learning_rate=0.0003",
    ]


def test_the_best_block_says_what_the_chain_kept_and_saved():
    def stage(name: str, **metrics: float) -> StageRow:
        return StageRow(name, name, "0" * 64, 1.0, False, f"/store/{name}", metrics)

    stages = (
        stage("finetune", f1=0.8, latency_ms=40.0, bytes=90e6),
        stage("quantize", f1=0.76, latency_ms=10.0, bytes=18e6),
    )
    block = best_block(TrialRow(3, "complete", {}, (0.76,), stages), ["f1"])
    assert "f1 0.8000 -> 0.7600 (95%)" in block
    assert "latency 40 -> 10 ms (25%)" in block
    assert "bytes 90 -> 18 MB (20%)" in block


def test_json_is_strict_and_complete(rows):
    odd = TrialRow(9, "complete", {"a": 1}, (float("inf"),))
    text = json.dumps(to_json([*rows, odd]), allow_nan=False)
    trials = json.loads(text)
    assert trials[1]["values"] == [0.8123]
    assert trials[1]["params"]["finetune.learning_rate"] == 3e-4
    assert trials[1]["stages"][0]["reused"] is True
    assert trials[3]["pruned_in"] == "distill"
    assert trials[5]["values"] == [None]


def test_the_front_is_a_line_a_trial_and_how_to_run_it_again():
    front = [
        TrialRow(number=1, state="complete", params={}, values=(0.9, 4.0), command="run a"),
        TrialRow(number=4, state="complete", params={}, values=(0.8, 2.5), command="run b"),
    ]
    assert front_block(front, 7, ["f1", "latency_ms"]).splitlines() == [
        "front   2 of 7 complete trials",
        "  trial 1  f1 0.9000  latency_ms 4",
        "    rerun  run a",
        "  trial 4  f1 0.8000  latency_ms 2.5",
        "    rerun  run b",
    ]


def test_when_nothing_is_within_the_bounds_the_nearest_is_named():
    rows = [
        TrialRow(number=0, state="complete", params={}, values=(1.0,), violations={"bytes": 0.5}),
        TrialRow(
            number=1, state="complete", params={}, values=(1.0,), violations={"ms": 0.1, "mb": 0.2}
        ),
        TrialRow(number=2, state="failed", params={}, error="x"),
    ]
    line = infeasible_line(rows)
    assert line.startswith("none of 2 complete trials is within the bounds; the nearest is trial 1")
    assert line.endswith("breaks ms by 10%, mb by 20%")


def test_a_bound_that_is_hardly_broken_is_not_said_to_be_broken_by_nothing():
    row = TrialRow(
        number=0, state="complete", params={}, values=(1.0,), violations={"a": 0.002, "b": 1e-7}
    )
    line = infeasible_line([row])
    assert line.startswith("none of 1 complete trial is within")
    assert line.endswith("breaks a by 0.2%, b by 1e-05%")


def test_a_trial_outside_of_a_bound_says_which():
    row = TrialRow(
        number=0, state="complete", params={"a": 1}, values=(0.9,), violations={"bytes": 0.5}
    )
    assert trial_line(row, 1, 2, "f1") == "[1/2] trial 0  infeasible (bytes)  f1 0.9000  a=1"


def test_a_front_of_another_program_has_nothing_to_run_again():
    front = [TrialRow(number=2, state="complete", params={}, values=(0.9, 4.0))]
    assert front_block(front, 1, ["f1", "latency_ms"]).splitlines() == [
        "front   1 of 1 complete trial",
        "  trial 2  f1 0.9000  latency_ms 4",
    ]
