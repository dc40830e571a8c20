"""A pipeline whose first stage is a cheap probe: who does badly there is not paid for further."""

from __future__ import annotations


def test_a_bad_probe_ends_a_trial_before_the_costly_stage(command) -> None:
    done = command.run(
        "-m",
        "stage=[probe,finetune]",
        "stages.probe.learning_rate=2e-3,3e-3,100",
        "pruner=asha_across",
        "pruner.bootstrap_count=2",
        "pruner.costs={probe:1,finetune:4}",
        "objective.metric=loss",
        "objective.direction=minimize",
        "hydra.sweeper.study_name=probe",
        "debug=short",
        "model=tiny",
        "numerics=fp32",
        "tracker=none",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = command.json("trials", "probe")
    assert [row["state"] for row in rows] == ["complete", "complete", "pruned"]
    assert rows[2]["pruned_in"] == "probe"
    stored = [row["name"] for row in command.json("store", "ls")]
    assert (stored.count("probe"), stored.count("finetune")) == (3, 2)
