"""One run over several seeds: what is refused, what runs, what is told, what comes out."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import open_dict

from stagetree.core.errors import ConfigError, TrialPruned
from stagetree.core.reporting import SEEDS, Reporter, RunInfo, StageInfo, StageOutcome
from stagetree.core.trials import StageRow
from stagetree.pipeline import runner, seeds
from stagetree.pipeline.compose import compose
from stagetree.pipeline.nodes import Pipeline
from stagetree.pipeline.record import Record
from stagetree.pipeline.store import Store

F1 = {("finetune", 1): 0.5, ("distill", 1): 0.4, ("finetune", 2): 0.6, ("distill", 2): 0.7}


@dataclass
class Recording(Reporter):
    """Writes down what it hears; ends the run when seed number ``ends_after`` is told of."""

    ends_after: int = 0
    heard: list[tuple[str, ...]] = field(default_factory=list)
    stages: list[StageInfo] = field(default_factory=list)
    scores: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    end: tuple[str, Mapping[str, object]] = ("", {})

    def stage_started(self, stage: StageInfo) -> None:
        self.heard.append(("started", stage.name))
        self.stages.append(stage)

    def evaluated(self, stage: StageInfo, fraction: float, metrics: Mapping[str, float]) -> None:
        self.heard.append(("evaluated", stage.name, f"{fraction:.2f}"))
        if stage.name == SEEDS:
            self.stages.append(stage)
            self.scores.append((fraction, dict(metrics)))
            if len(self.scores) == self.ends_after:
                raise TrialPruned("enough")

    def stage_finished(self, stage: StageInfo, outcome: StageOutcome) -> None:
        self.heard.append(("finished", stage.name))

    def run_finished(self, status: str, summary: Mapping[str, object]) -> None:
        self.end = (status, summary)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Pipeline, Reporter], runner.PipelineResult]:
    """Runs a pipeline all of whose results are in the store."""

    def run(pipeline: Pipeline, reporter: Reporter) -> runner.PipelineResult:
        store = Store(tmp_path / "store")
        for node in pipeline.nodes:
            score = F1[node.key, node.seed]
            with store.open(node.signature) as work:
                (work.output / "weights").write_text("w")
                metrics = {"f1": score, "bytes": 1000.0 * node.seed, "latency_ms": 1.0}
                curve = [{"fraction": 1.0, "metrics": {"f1": score}, "seconds": 1.0}]
                work.publish(
                    Record(
                        signature=node.signature, kind=node.stage.kind, name=node.key, version=1,
                        config=node.fields, inputs=list(node.inputs), data="d", model="m",
                        seed=node.seed, metrics=metrics, curve=curve, seconds=float(node.seed),
                    )
                )  # fmt: skip
        info = RunInfo("run", tmp_path / "run", {})
        return runner.run(pipeline, store, tmp_path / "cache", reporter, info)

    return run


@pytest.fixture
def pipeline(in_project) -> Callable[..., Pipeline]:
    return lambda *words: compose(in_project(["stage=distill", "numerics=fp32", *words]))


@pytest.mark.parametrize(
    ("words", "path", "said"),
    [
        (["seeds=[]"], "seeds", "at least one seed"),
        (["seeds=[1,2,1]"], "seeds", "each seed once but got 1 twice in [1,2,1]"),
        (["seeds=[1,a]"], "seeds", "'a'"),
        (["seeds=[1.5]"], "seeds", "1.5"),
        (["seeds=[true]"], "seeds", "True"),
        (["seeds=[[1,2]]"], "seeds", "[[1, 2]]"),
        (["seeds=[1,-1]"], "seeds", "from 0 to 4294967295"),
        (["seeds=4"], "seeds", "4"),
        (["pruner=wilcoxon"], "pruner", "seeds=[1,2,3]"),
        (["pruner=wilcoxon", "seeds=[1]"], "pruner", "seeds=[1,2,3]"),
    ],
)
def test_what_cannot_run_is_refused(in_project, words, path, said) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(in_project(words))
    (fault,) = caught.value.faults
    assert fault.path == path
    assert said in fault.message


def test_a_stage_whose_name_looks_like_one_with_a_seed_is_refused(in_project) -> None:
    config = in_project(["stage=finetune"])
    with open_dict(config.stages):
        config.stages["again@1"] = config.stages.finetune
    with pytest.raises(ConfigError) as caught:
        compose(config)
    assert [fault.path for fault in caught.value.faults] == ["stages.again@1"]


def test_the_faults_of_seeds_come_with_all_others(in_project) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(in_project(["seeds=[1,1]", "stages.finetune.learning_rate=-1"]))
    assert [fault.path for fault in caught.value.faults] == [
        "stages.finetune.learning_rate",
        "seeds",
    ]


def test_seeds_are_refused_without_importing_torch(project) -> None:
    code = (
        "import sys; from stagetree.pipeline import commandline\n"
        "from stagetree.pipeline.compose import compose\n"
        "from stagetree.core.errors import ConfigError\n"
        "try:\n    compose(commandline.load(['seeds=[]']))\n"
        "except ConfigError:\n    sys.exit(7 if 'torch' in sys.modules else 0)\n"
        "sys.exit(8)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_seed_is_the_ordinary_pipeline_of_that_seed(pipeline) -> None:
    several = pipeline("seeds=[2,1]")
    assert [node.name for node in several.nodes] == [
        "finetune@2", "distill@2", "finetune@1", "distill@1",
    ]  # fmt: skip
    alone = [*pipeline("seed=2").nodes, *pipeline("seed=1").nodes]
    assert [node.signature for node in several.nodes] == [node.signature for node in alone]
    assert [node.inputs for node in several.nodes] == [node.inputs for node in alone]
    assert [node.seed for node in several.nodes] == [2, 2, 1, 1]


def test_without_seeds_nothing_is_told_of_them(pipeline, run) -> None:
    lone = pipeline("seed=1")
    reporter = Recording()
    result = run(lone, reporter)
    assert [(stage.name, stage.index, stage.total) for stage in reporter.stages] == [
        ("finetune", 0, 2),
        ("distill", 1, 2),
    ]
    assert result.values == (0.4,)
    assert result.by_seed == ((0.4,),)
    assert result.deviations == ()
    assert [row.name for row in result.stages] == ["finetune", "distill"]
    assert "std" not in reporter.end[1]


def test_seeds_run_in_order_and_each_one_is_told_of_after_its_last_stage(pipeline, run) -> None:
    reporter = Recording()
    result = run(pipeline("seeds=[2,1]"), reporter)
    assert reporter.heard == [
        ("started", "finetune@2"), ("evaluated", "finetune@2", "1.00"), ("finished", "finetune@2"),
        ("started", "distill@2"), ("evaluated", "distill@2", "1.00"), ("finished", "distill@2"),
        ("evaluated", SEEDS, "0.50"),
        ("started", "finetune@1"), ("evaluated", "finetune@1", "1.00"), ("finished", "finetune@1"),
        ("started", "distill@1"), ("evaluated", "distill@1", "1.00"), ("finished", "distill@1"),
        ("evaluated", SEEDS, "1.00"),
    ]  # fmt: skip
    assert [(stage.index, stage.total) for stage in reporter.stages] == [
        (0, 5), (1, 5), (4, 5), (2, 5), (3, 5), (4, 5),
    ]  # fmt: skip
    assert reporter.scores == [(0.5, {"f1": 0.7}), (1.0, {"f1": 0.4})]
    assert result.by_seed == ((0.7,), (0.4,))


def test_the_objective_is_the_mean_and_the_summary_has_means(pipeline, run) -> None:
    reporter = Recording()
    result = run(pipeline("seeds=[1,2]"), reporter)
    assert result.values == (statistics.fmean([0.4, 0.7]),)
    assert result.deviations == (statistics.stdev([0.4, 0.7]),)
    status, summary = reporter.end
    assert status == "complete"
    assert summary["value"] == summary["f1"] == result.values[0]
    assert summary["std"] == result.deviations[0]
    assert summary["bytes"] == 1500.0


def test_each_of_several_objectives_is_a_mean_of_its_own(pipeline, run) -> None:
    words = ["objective.metric=[f1,seconds]", "objective.direction=[maximize,minimize]"]
    reporter = Recording()
    result = run(pipeline("seeds=[1,2]", *words), reporter)
    assert result.values == (statistics.fmean([0.4, 0.7]), 3.0)
    assert reporter.scores == [
        (0.5, {"f1": 0.4, "seconds": 2.0}),
        (1.0, {"f1": 0.7, "seconds": 4.0}),
    ]


def test_a_run_can_be_ended_after_any_seed(pipeline, run) -> None:
    reporter = Recording(ends_after=1)
    with pytest.raises(TrialPruned):
        run(pipeline("seeds=[1,2]"), reporter)
    assert reporter.heard[-1] == ("evaluated", SEEDS, "0.50")
    assert reporter.end[0] == "pruned"


def test_a_lone_seed_in_the_list_has_its_own_value_and_no_deviation(pipeline, run) -> None:
    reporter = Recording()
    result = run(pipeline("seeds=[2]"), reporter)
    assert result.values == (0.7,)
    assert result.deviations == ()
    assert reporter.scores == [(1.0, {"f1": 0.7})]


def row(name: str, seconds: float, **metrics: float) -> StageRow:
    return StageRow(name, "finetune", "ab" * 32, seconds, False, "/store/x", metrics)


def test_averages_are_of_each_stage_and_of_metrics_that_every_seed_has() -> None:
    first, last = seeds.averaged(
        [
            row("a@1", 10.0, f1=1.0), row("b@1", 1.0, f1=3.0, odd=1.0),
            row("a@2", 20.0, f1=2.0), row("b@2", 2.0, f1=5.0),
        ]
    )  # fmt: skip
    assert (first.name, first.seconds, first.metrics) == ("a", 15.0, {"f1": 1.5})
    assert (last.name, last.seconds, last.metrics) == ("b", 1.5, {"f1": 4.0})
    assert first.signature == first.model_dir == ""


def test_stages_without_seeds_are_their_own_averages() -> None:
    stages = [row("a", 1.0, f1=1.0), row("b", 1.0, f1=2.0)]
    assert seeds.averaged(stages) == stages
    assert seeds.averaged([]) == []
