"""``stagetree report`` on real studies, whatever state they are in."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from stagetree.search.journal import open_storage
from stagetree.search.notes import ENDED, ERROR, NOTES
from stagetree.search.stage_pruner import stage_attribute, step_of

LINE = (
    "-m", "stage=distill", "stages.finetune.learning_rate=1e-3,3e-3",
    "stages.distill.temperature=1,2", "hydra.sweeper.study_name=small",
    "debug=short", "model=tiny", "numerics=fp32", "tracker=none",
)  # fmt: skip


class Page(HTMLParser):
    """Reads the sections, the addresses and the text of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._code = False
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self._code = tag in ("script", "style")
        if tag == "section":
            self.sections.append(found["id"])
        self.addresses += [found[name] for name in ("src", "href", "data") if found.get(name)]

    def handle_endtag(self, tag) -> None:
        self._code = False

    def handle_data(self, data) -> None:
        if not self._code:
            self.text += data


@pytest.fixture(scope="module")
def small(command_at, tmp_path_factory):
    """A finished study of four trials on two fine-tunings."""
    command = command_at(tmp_path_factory.mktemp("report") / "runs")
    done = command.run(*LINE)
    assert done.returncode == 0, done.stdout + done.stderr
    return command


def report(command, study: str, *words: str) -> Page:
    """Write the report of a study and read it."""
    file = command.root / "page.html"
    done = command.stagetree("report", study, "-o", str(file), "--root", str(command.root), *words)
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stdout
    return Page(file)


def started(command, name: str) -> optuna.Study:
    """Begin a study by hand, as a worker that has not come far would have."""
    place = command.root / "studies" / name
    place.mkdir(parents=True)
    return optuna.create_study(study_name=name, storage=open_storage(place, None))


def test_a_real_study_is_told_whole_and_offline(small) -> None:
    page = report(small, "small")
    assert page.sections == [
        "verdict", "leaderboard", "tree", "figures", "costs", "quality", "rerun", "environment",
    ]  # fmt: skip
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    best = small.json("best", "small")
    assert f"Ship trial {best['number']}: f1 " in page.text
    assert best["command"] in page.text
    assert "2 results reused" in page.text
    assert "ORGANIZATION" in page.text
    assert "What is taken for what" in page.text


def test_equal_studies_give_equal_pages(small) -> None:
    report(small, "small")
    first = (small.root / "page.html").read_bytes()
    report(small, "small")
    assert (small.root / "page.html").read_bytes() == first


def test_without_charts_the_page_is_small(small) -> None:
    page = report(small, "small", "--no-charts")
    assert "figures" not in page.sections
    assert (small.root / "page.html").stat().st_size < 1e6


def test_by_default_the_page_lies_in_the_study(small) -> None:
    told = small.json("report", "small")
    assert Path(told["report"]) == small.root / "studies" / "small" / "report.html"
    assert Path(told["report"]).is_file()


def test_tables_are_written_beside_it(small, tmp_path: Path) -> None:
    files = {name: tmp_path / f"t.{name}" for name in ("csv", "markdown", "latex")}
    words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    report(small, "small", *words)
    read = list(csv.DictReader(files["csv"].open(encoding="utf-8")))
    told = {row["number"]: row["values"][0] for row in small.json("trials", "small")}
    assert {int(line["trial"]): float(line["f1"]) for line in read} == told
    assert files["markdown"].read_text().count("\n") == 4 + 2
    assert files["latex"].read_text().startswith(r"\begin{tabular}")


def test_a_directory_that_is_not_there_is_said_before_anything_is_written(small) -> None:
    words = ("--csv", "/no/such/t.csv", "-o", "/no/other/page.html")
    done = small.stagetree("report", "small", *words, "--root", str(small.root))
    assert done.returncode == 2
    assert "--csv: expected an existing directory" in done.stderr
    assert "/no/other" in done.stderr


def test_a_study_that_is_not_there_is_named_with_its_nearest(small) -> None:
    done = small.stagetree("report", "smal", "--root", str(small.root))
    assert done.returncode == 2
    assert "small" in done.stderr


def test_a_page_can_be_written_before_any_trial_has_finished(command) -> None:
    study = started(command, "begun")
    assert "No trial has begun" in report(command, "begun").text
    trial = study.ask({"a": CategoricalDistribution(["<script>alert(1)</script>"])})
    trial.set_user_attr(stage_attribute(0), ["finetune", "a" * 64])
    trial.report(0.25, step_of(0, 0.5))
    page = report(command, "begun")
    assert "Nothing to ship yet" in page.text
    assert "(1 running)" in page.text
    assert "<script>alert(1)</script>" in page.text


def test_a_study_of_failures_says_why(command) -> None:
    study = started(command, "broken")
    for number in range(3):
        trial = study.ask({"<b>x</b>": CategoricalDistribution([1, 2])})
        error = f"ValueError: <script>alert({number})</script>"
        trial.set_user_attr(NOTES, {ENDED: "failed", ERROR: error, "seconds": 1.0})
        study.tell(trial, state=TrialState.FAIL)
    page = report(command, "broken")
    assert "errors" in page.sections
    assert "Every trial failed" in page.text
    assert "ValueError: <script>alert(0)</script>" in page.text
    assert "<b>x</b>=1" in page.text or "<b>x</b>=2" in page.text


def test_several_objectives_show_their_front(command) -> None:
    place = command.root / "studies" / "two"
    place.mkdir(parents=True)
    study = optuna.create_study(
        study_name="two", storage=open_storage(place, None), directions=["maximize", "minimize"]
    )
    for values in ([1.0, 2.0], [2.0, 3.0], [0.5, 9.0]):
        study.tell(study.ask(), values)
    page = report(command, "two")
    assert "2 configurations to choose from" in page.text
