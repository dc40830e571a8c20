import json
import re
from html.parser import HTMLParser

import pytest

from stagetree.core.curves import StageCurve
from stagetree.core.figure import Figure
from stagetree.core.trials import StageRow, TrialRow
from stagetree.pipeline.record import Record
from stagetree.report.page import page
from stagetree.report.view import StudyView
from stagetree.tasks.examples import Confusion

EVIL = "</script><script>alert(1)</script><img src=http://x.y/z onerror=alert(2)>"
LOADERS = {"src", "href", "srcset", "data", "poster", "action", "xlink:href"}


class Page(HTMLParser):
    """Reads a page: its tags, ids, texts and the JSON in it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.json: dict[str, object] = {}
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self._in = tag
        self._id = found.get("id", "")
        self._json = found.get("type") == "application/json"

    def handle_endtag(self, tag) -> None:
        self._in = ""

    def handle_data(self, data) -> None:
        if self._in == "script" and self._json:
            self.json[self._id] = json.loads(data)
        elif self._in not in ("script", "style"):
            self.texts.append(data)

    @property
    def ids(self) -> list[str]:
        return [found["id"] for _, found in self.tags if "id" in found]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def loads(self) -> list[str]:
        """Return the addresses that a browser would fetch."""
        return [
            value
            for _, found in self.tags
            for name, value in found.items()
            if name in LOADERS and not value.startswith(("#", "data:"))
        ]


def sections(read: Page) -> list[str]:
    return [found["id"] for tag, found in read.tags if tag == "section"]


@pytest.fixture
def view(rows) -> StudyView:
    signature = rows[1].stages[-1].signature
    record = Record(
        signature, "distill", "distill", 1, {"alpha": 0.5}, (), "d", 13,
        per_class={"AGE": {"f1": 0.9, "support": 3.0}},
        environment={"python": "3.11", "versions": {"torch": "2.13"}},
    )  # fmt: skip
    return StudyView(
        "demo",
        rows,
        ["maximize"],
        ["f1"],
        best=rows[1],
        front=[rows[1]],
        curves={3: [StageCurve(3, "distill", 1, "c" * 64, "pruned", [(0.25, 0.5), (0.5, 0.61)])]},
        records={signature: record},
        confusion=Confusion.of([("AGE", "AGE"), ("AGE", "none")]),
        search_line="python run.py -m +sweep=demo",
    )


def test_a_whole_study_has_every_section_and_loads_nothing(view) -> None:
    text = page(view)
    read = Page(text)
    assert sections(read) == [
        "verdict", "leaderboard", "tree", "costs", "quality", "errors", "rerun", "environment",
    ]  # fmt: skip
    assert len(read.ids) == len(set(read.ids))
    assert read.loads() == []
    policies = [found["content"] for _, found in read.tags if "http-equiv" in found]
    assert policies[0].startswith("default-src 'none';")
    assert "Plotly" not in text
    for said in ("Ship trial 1", "loss is nan", "+sweep=demo", "2.13", "AGE"):
        assert said in read.text
    assert page(view) == text


def test_every_link_of_the_contents_has_its_section(view) -> None:
    read = Page(page(view))
    links = [found["href"][1:] for tag, found in read.tags if tag == "a"]
    assert set(links) <= set(read.ids)


def test_nodes_of_the_tree_have_details(view) -> None:
    read = Page(page(view))
    details = read.json["tree-data"]["nodes"]
    drawn = {found["data-node"] for _, found in read.tags if "data-node" in found}
    assert drawn == set(details)
    assert [0.25, 0.5] in [point for node in details.values() for point in node["points"]]


@pytest.mark.parametrize("place", ["study", "param", "stage", "error", "label"])
def test_text_of_a_study_is_never_markup(place: str) -> None:
    evil = {name: EVIL if name == place else "plain" for name in
            ("study", "param", "stage", "error", "label")}  # fmt: skip
    stage = StageRow(evil["stage"], "k", "a" * 64, 1.0, False, evil["stage"], {evil["param"]: 0.5})
    rows = [
        TrialRow(0, "complete", {evil["param"]: evil["param"]}, (0.5,), (stage,), command=EVIL),
        TrialRow(1, "failed", {evil["param"]: 2}, error=evil["error"], pruned_in=evil["stage"]),
    ]
    record = Record(
        "a" * 64,
        "k",
        "k",
        1,
        {evil["param"]: evil["label"]},
        (),
        "d",
        1,
        per_class={evil["label"]: {"f1": 0.5}},
        environment={"host": evil["label"]},
    )
    figure = Figure("f", evil["param"], evil["label"], {"data": [{"name": EVIL}], "layout": {}})
    plain = Page(page(StudyView("s", [], ["maximize"], ["f1"])))
    read = Page(
        page(
            StudyView(
                evil["study"],
                rows,
                ["maximize"],
                [evil["param"]],
                best=rows[0],
                front=[rows[0]],
                records={"a" * 64: record},
                confusion=Confusion.of([(evil["label"], "none")]),
                space={evil["param"]: EVIL},
                figures=[figure],
                left_out=[EVIL],
            )
        )
    )
    assert not [tag for tag, _ in read.tags if tag == "img"]
    assert read.loads() == []
    assert not [name for _, found in read.tags for name in found if name.startswith("on")]
    kinds = {found.get("type", "") for tag, found in read.tags if tag == "script"}
    assert kinds == {"", "application/json"}
    scripts = sum(tag == "script" and not found for tag, found in read.tags)
    assert scripts == sum(tag == "script" and not found for tag, found in plain.tags) + 2
    assert EVIL in read.text


def test_a_study_in_any_state_has_a_page(rows) -> None:
    states: dict[str, list[TrialRow]] = {
        "empty": [],
        "running": [TrialRow(0, "running", {"a": 1})],
        "failed": [rows[2]],
        "pruned": [rows[3]],
        "waiting": [TrialRow(0, "waiting", {})],
        "foreign": [TrialRow(0, "complete", {"x": 1.0}, (0.5,)), TrialRow(1, "running", {})],
        "not finite": [TrialRow(0, "complete", {"x": float("nan")}, (float("inf"),))],
    }
    for state, found in states.items():
        complete = [row for row in found if row.state == "complete"]
        best = complete[0] if complete else None
        view = StudyView(state, found, ["minimize"], ["loss"], best=best, front=complete[:1])
        read = Page(page(view))
        assert sections(read)[:3] == ["verdict", "leaderboard", "tree"], state
        assert read.loads() == [], state


def test_several_objectives_show_the_front() -> None:
    front = [
        TrialRow(0, "complete", {"a": 1}, (0.8, 9.0)),
        TrialRow(1, "complete", {"a": 2}, (0.7, 3.0)),
    ]
    view = StudyView("two", front, ["maximize", "minimize"], ["f1", "ms"], front=front)
    read = Page(page(view))
    assert "The front: no other trial is better in all objectives" in read.text
    assert "2 configurations to choose from" in read.text


def test_charts_bring_the_library_once_and_their_data_as_json(view) -> None:
    data = {"data": [{"y": [1, float("nan")]}], "layout": {"height": 300}}
    figures = [Figure(name, name, "how to read it", data) for name in ("one", "two")]
    text = page(StudyView("s", view.rows, ["maximize"], ["f1"], figures=figures))
    read = Page(text)
    assert read.json["data-one"] == {"data": [{"y": [1, None]}], "layout": {"height": 300}}
    assert len(re.findall(r"plotly\.js v[\d.]+", text)) == 1
    assert "figures" in sections(read)


def test_many_trials_are_not_all_shown_at_once() -> None:
    def one(n: int) -> StageRow:
        return StageRow("a", "a", f"{n:064x}", 1.0, False, "m")

    rows = [TrialRow(n, "complete", {"a.x": n}, (n / 200,), (one(n),)) for n in range(200)]
    read = Page(page(StudyView("s", rows, ["maximize"], ["f1"], best=rows[-1], front=rows[-1:])))
    lines = [
        found for tag, found in read.tags if tag == "tr" and "complete" in found.get("class", "")
    ]
    assert (len(lines), sum("hidden" not in found for found in lines)) == (200, 50)
    assert "Show all 200 ends" in read.text
    assert "folded" in read.text
