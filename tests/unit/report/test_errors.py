from stagetree.core.trials import TrialRow
from stagetree.report.errors import error_table
from stagetree.report.tables import render


def failed(number: int, error: str, **params: object) -> TrialRow:
    return TrialRow(number=number, state="failed", params=params, error=error)


def test_errors_that_differ_in_numbers_only_are_one_kind_and_the_most_frequent_is_first() -> None:
    rows = [
        failed(0, "RuntimeError: [rank 3] lost", rate=0.1),
        *(failed(n, f"TrialFailed: loss is nan at step {n} of 1e3", rate=n) for n in range(1, 9)),
        TrialRow(number=9, state="complete", params={}, values=(1.0,)),
        TrialRow(number=10, state="rejected", params={"rate": 5}, error="3 trials ran out"),
    ]
    lines = render(error_table(rows)).splitlines()
    cells = [line.split() for line in lines[1:]]
    assert [row[:2] for row in cells] == [["8", "failed"], ["1", "failed"], ["1", "rejected"]]
    assert "1 2 3 4 5 and 3 more" in lines[1]
    assert "loss is nan at step 1 of 1e3" in lines[1]
    assert "rate=1" in lines[1]
    assert "[rank 3]" in lines[2]


def kinds(*errors: str) -> int:
    rows = [failed(number, error) for number, error in enumerate(errors)]
    return len(render(error_table(rows)).splitlines()) - 1


def test_signs_exponents_and_addresses_are_numbers_and_words_are_not() -> None:
    assert kinds("x is -1", "x is +2.5e-07", "x is 3", "x is nan", "x is -inf") == 1
    assert kinds("<Model at 0x7f3a10>", "<Model at 0x55be>") == 1
    assert kinds("unknown name info", "unknown name nano") == 2


def test_one_error_with_two_outcomes_is_two_kinds() -> None:
    rows = [failed(0, "lost"), TrialRow(number=1, state="pruned", params={}, error="lost")]
    assert len(render(error_table(rows)).splitlines()) == 3


def test_a_long_error_is_folded_and_nothing_of_it_is_lost() -> None:
    text = render(error_table([failed(0, " ".join(["word"] * 60), rate=0.5)]), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("word") == 60
