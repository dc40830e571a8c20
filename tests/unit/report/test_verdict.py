import dataclasses

from stagetree.core.trials import TrialRow
from stagetree.report.verdict import verdict
from stagetree.report.view import StudyView


def view(rows, best=None, front=None, **fields) -> StudyView:
    fields = {"directions": ["maximize"], "metrics": ["f1"], **fields}
    front = front if front is not None else ([best] if best else [])
    return StudyView("demo", rows, best=best, front=front, **fields)


def test_the_best_is_named_with_what_it_beat_and_that_one_seed_proves_little(rows) -> None:
    found = verdict(view(rows, rows[1]))
    text = " ".join(found.sentences)
    assert found.headline == "Ship trial 1: f1 0.8123."
    assert "0.1123 higher than that of the first trial (0.7000)" in text
    assert "Next comes trial 4 with 0.7500, 0.0623 behind." in text
    assert "one seed" in found.caution
    assert "stagetree confirm demo" in found.caution
    assert found.settled


def test_seeds_give_a_spread(rows, stage) -> None:
    seeded = [
        dataclasses.replace(stage("finetune", f1=value), name=f"finetune@{seed}")
        for seed, value in ((1, 0.70), (2, 0.72), (3, 0.74))
    ]
    best = TrialRow(0, "complete", {}, (0.72,), tuple(seeded))
    assert "Over 3 seeds it is 0.7200 ± 0.0200" in verdict(view([best], best)).caution


def test_without_a_finished_trial_nothing_is_recommended(rows) -> None:
    for left in ([], [rows[2]], [rows[3]], [TrialRow(0, "running", {})]):
        found = verdict(view(left))
        assert not found.settled
        assert "Ship" not in found.headline
    assert "Every trial failed" in " ".join(verdict(view([rows[2]])).sentences)


def test_out_of_bounds_is_nothing_to_ship(rows) -> None:
    outside = dataclasses.replace(rows[0], violations={"bytes": 0.25})
    found = verdict(view([outside]))
    assert found.headline == "Nothing to ship yet."
    assert "breaks bytes by 25%" in found.sentences[0]


def test_a_front_is_a_choice() -> None:
    front = [TrialRow(0, "complete", {}, (0.8, 9.0)), TrialRow(1, "complete", {}, (0.7, 3.0))]
    several = {"directions": ["maximize", "minimize"], "metrics": ["f1", "ms"]}
    found = verdict(view(front, front=front, **several))
    assert found.headline == "2 configurations to choose from."
    assert "Best in f1: trial 0 with 0.8000 (ms 9)." in found.sentences
    assert "Best in ms: trial 1 with 3 (f1 0.7000)." in found.sentences


def test_what_still_runs_can_change_it(rows) -> None:
    running = TrialRow(5, "running", {})
    assert (
        "1 trial is still running, so this can change."
        in verdict(view([*rows, running], rows[1])).sentences
    )


def test_a_confirmation_takes_the_place_of_the_advice_to_confirm(rows) -> None:
    told = "It beats the default by 1.9 [0.8, 3.1]."
    choice = "Keep the default: no candidate beats it."
    found = verdict(view(rows, rows[1], confirmed=[choice, told]))
    assert found.headline == choice
    assert found.sentences[0] == "The search's own best is trial 1: f1 0.8123."
    assert told[1:] in found.caution
    assert "Not confirmed" not in found.caution
