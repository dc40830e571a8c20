from __future__ import annotations

import subprocess
import sys

import pytest

from stagetree.core.errors import ConfigError
from stagetree.pipeline import commandline
from stagetree.pipeline.compose import compose


def faults(in_project, *words: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        compose(in_project(list(words)))
    return {fault.path: fault.message for fault in caught.value.faults}


def names(in_project, *words: str) -> list[str]:
    return [node.name for node in compose(in_project(list(words))).nodes]


def signatures(in_project, *words: str) -> dict[str, str]:
    return {node.name: node.signature for node in compose(in_project(list(words))).nodes}


def test_a_stage_brings_its_upstream_stages_along(in_project) -> None:
    assert names(in_project, "stage=distill") == ["finetune", "distill"]
    assert names(in_project, "stage=quantize") == ["finetune", "quantize"]
    assert names(in_project, "stage=[finetune,distill,quantize]") == [
        "finetune",
        "distill",
        "quantize",
    ]


@pytest.mark.parametrize(
    ("words", "timed"),
    [
        ([], True),
        (["measure=needed"], False),
        (["measure=needed", "objective=size"], False),
        (["measure=needed", "objective=latency"], True),
        (["measure=needed", "+objective.constraints.peak_memory.max=1e9"], True),
    ],
)
def test_results_are_timed_unless_nobody_needs_it(in_project, words, timed) -> None:
    found = compose(in_project(["stage=finetune", *words]))
    assert found.timed == timed
    assert found.nodes[0].signature == signatures(in_project, "stage=finetune")["finetune"]


def test_pipelines_share_the_signatures_of_equal_first_stages(in_project) -> None:
    alone = signatures(in_project, "stage=finetune")
    longer = signatures(in_project, "stage=[finetune,distill,quantize]")
    other = signatures(in_project, "stage=distill", "stages.distill.temperature=4")
    assert alone["finetune"] == longer["finetune"] == other["finetune"]
    assert longer["distill"] != other["distill"]


@pytest.mark.parametrize(
    "word",
    [
        "seed=14",
        "stages.finetune.learning_rate=1e-5",
        "data.max_train=50",
        "numerics=bf16",
        "model.from_scratch=true",
    ],
)
def test_what_changes_a_result_changes_its_signature_and_all_after_it(in_project, word) -> None:
    base = ["stage=distill", "numerics=fp32"]
    before = signatures(in_project, *base)
    after = signatures(in_project, *base, word)
    assert before["finetune"] != after["finetune"]
    assert before["distill"] != after["distill"]


@pytest.mark.parametrize(
    "word",
    [
        "paths.root=/elsewhere",
        "tracker=none",
        "stages.finetune.eval_batch_size=7",
        "objective=latency",
        "data.max_test=5",
        "threads=2",
    ],
)
def test_what_cannot_change_a_result_keeps_its_signature(in_project, word) -> None:
    assert signatures(in_project) == signatures(in_project, word)


def test_the_input_of_a_stage_is_the_one_before_it(in_project) -> None:
    chain = compose(in_project(["stage=[finetune,distill,quantize]"])).nodes
    assert chain[2].inputs == (chain[1].signature,)
    assert chain[1].roles["teacher"] == "finetune"


def test_all_faults_are_reported_at_once(in_project) -> None:
    found = faults(
        in_project,
        "stage=distill",
        "stages.finetune.learning_rate=-1",
        "stages.distill.temperature=0",
        "stages.distill.teacher=fintune",
        "data.split=[0.5,0.1,0.1]",
    )
    assert "stages.finetune.learning_rate" in found
    assert "stages.distill.temperature" in found
    assert "finetune" in found["stages.distill.teacher"]


def test_an_order_that_cannot_work_is_refused_with_its_reason(in_project) -> None:
    found = faults(in_project, "stage=[finetune,quantize,distill]")
    assert any("quantize" in message for message in found.values())


PREFIX = "stages.finetune.adapter.method=prefix"


@pytest.mark.parametrize("stages", ["finetune,quantize", "finetune,distill"])
def test_what_virtual_tokens_leave_unchangeable_is_refused_with_its_reason(
    in_project, stages
) -> None:
    found = faults(in_project, f"stage=[{stages}]", PREFIX)
    later = stages.split(",")[1]
    assert "distil it first" in found[f"stages.{later}.input"]


def test_a_model_with_a_prefix_teaches_a_student_of_its_own(in_project) -> None:
    chain = ("stage=[finetune,distill,quantize]", PREFIX, "stages.distill.student.model=minilm_l6")
    assert names(in_project, *chain) == ["finetune", "distill", "quantize"]


def test_an_adapter_on_a_quantised_base_is_refused_with_its_reason(in_project) -> None:
    words = ["stage=[finetune,quantize,distill]", "stages.distill.adapter.method=lora"]
    with pytest.raises(ConfigError, match="an adapter of method lora needs a base of plain weight"):
        compose(in_project([*words, "stages.distill.input=quantize"]))


def test_an_adapter_renames_results_only_where_there_is_one(in_project) -> None:
    plain = signatures(in_project, "stage=finetune")
    none = signatures(in_project, "stage=finetune", "stages.finetune.adapter.method=none")
    lora = signatures(in_project, "stage=finetune", "stages.finetune.adapter.method=lora")
    assert plain == none
    assert plain != lora


@pytest.mark.parametrize(
    ("method", "word"),
    [("none", "rank=4"), ("ia3", "alpha=1"), ("lora", "virtual_tokens=3"), ("prefix", "rank=4")],
)
def test_options_that_an_adapter_does_not_read_rename_nothing(in_project, method, word) -> None:
    chosen = f"stages.finetune.adapter.method={method}"
    plain = signatures(in_project, "stage=finetune", chosen)
    assert plain == signatures(
        in_project, "stage=finetune", chosen, f"stages.finetune.adapter.{word}"
    )
    read = "virtual_tokens=3" if method == "prefix" else "targets=attention"
    other = signatures(in_project, "stage=finetune", chosen, f"stages.finetune.adapter.{read}")
    assert (plain == other) == (method == "none")


def test_faults_of_a_command_line_name_the_nearest_key(in_project) -> None:
    found = commandline.diagnose(
        ["stages.finetune.lerning_rate=1", "model=minilm", "stages.finetune.epochs=many", "sede=3"]
    )
    text = "\n".join(map(str, found))
    assert "learning_rate" in text
    assert "minilm_l6" in text
    assert "many" in text
    assert "seed" in text
    assert len(found) == 4


@pytest.mark.parametrize("word", ["~hydra.sweeper.params", "~stages.nothing"])
def test_what_cannot_be_deleted_is_a_fault_like_others(in_project, word) -> None:
    (found,) = commandline.diagnose([word])
    assert found.path == word[1:]
    assert f"got {word}" in found.message


@pytest.mark.parametrize("url", [None, "postgresql+psycopg2://me@db.cluster/optuna"])
def test_the_search_on_postgresql_asks_the_environment_where_it_is(
    in_project, monkeypatch, url
) -> None:
    monkeypatch.delenv("STAGETREE_STORAGE", raising=False)
    if url is not None:
        monkeypatch.setenv("STAGETREE_STORAGE", url)
    config = in_project(["+sweep=cluster/postgres"], with_hydra=True)
    assert config.hydra.sweeper.storage == url
    assert config.hydra.sweeper.n_workers == 8
    assert [node.name for node in compose(config).nodes] == ["finetune", "distill", "quantize"]


def test_composing_imports_no_torch(project) -> None:
    code = (
        "import sys; from stagetree.pipeline import commandline, schema; schema.register();"
        "from stagetree.pipeline.compose import compose; compose(commandline.load([]));"
        "heavy = {'torch', 'transformers', 'datasets', 'optuna', 'wandb'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_teachers_are_signed_by_result_and_share_and_not_by_name(in_project) -> None:
    line = ("stage=distill", "numerics=fp32")
    both = "+stages.both={kind: distill, teachers: {finetune: 0.7, distill: 0.3}}"
    one = signatures(in_project, *line, both)
    assert signatures(in_project, *line, both.replace("0.7", "0.6"))["both"] != one["both"]
    alone = signatures(in_project, *line, "+stages.distill.teachers={finetune: 1.0}")
    assert alone == signatures(in_project, *line)
    told = faults(in_project, *line, "+stages.distill.teachers={fintune: 1.0, finetune: 1.0}")
    assert told.keys() == {"stages.distill.teachers.fintune"}


def test_text_without_labels_is_signed_by_its_content(in_project, tmp_path) -> None:
    def signed(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        words = ("stage=distill", f"stages.distill.unlabeled.files=[{tmp_path / name}]")
        return signatures(in_project, "numerics=fp32", *words)["distill"]

    assert signed("a.txt", "one\n") == signed("b.txt", "one\n")
    assert signed("a.txt", "one\n") != signed("a.txt", "two\n")
