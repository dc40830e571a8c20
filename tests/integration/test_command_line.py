"""Bad command lines: every fault named, exit 2, nothing heavy loaded, nothing written."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [
    (["stages.finetune.lerning_rate=1e-4"], ["learning_rate"]),
    (["stage=fintune"], ["finetune"]),
    (["stages.finetune.epochs=many"], ["stages.finetune.epochs", "many"]),
    (["data=pie", "model=minilm", "stages.finetune.epochs=x"], ["pii", "minilm_l6", "epochs"]),
    (["stage=[finetune,quantize,distill]"], ["quantize"]),
    (
        ["stage=[finetune,quantize]", "stages.finetune.adapter.method=prefix"],
        ["stages.quantize.input", "distil it first"],
    ),
    (["stages.finetune.adapter.method=lorra"], ["stages.finetune.adapter", "lorra"]),
    (
        ["stages.distill.temperature=-1", "stages.finetune.batch_size=0"],
        ["stages.distill.temperature", "stages.finetune.batch_size"],
    ),
    (["data=files", "data.path=/no/such/file.conll"], ["/no/such/file.conll"]),
    (["+sweep=nosuch"], ["nosuch"]),
    (["-m", "stages.finetune.learning_rate=1e-4,abc"], ["abc"]),
    (["-m", "stage=finetune,distil"], ["distill"]),
    (["-m", "stages.finetune.learning_rate=interval(1e-5,1e-3)", "sampler=grid"], ["interval"]),
]


@pytest.mark.parametrize(("words", "named"), CASES)
def test_a_bad_line_is_refused_with_every_fault(command, words, named) -> None:
    done = command.run(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    for name in named:
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert not (command.root / "store").exists()


def test_torch_is_not_imported_for_a_bad_line_nor_for_showing_a_config(project) -> None:
    for words in (["stages.finetune.epochs=-1"], ["--cfg", "job"], ["--help"]):
        code = (
            f"import sys; sys.argv = ['run.py', *{words!r}]\n"
            "from stagetree.app import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "sys.exit(7 if {'torch', 'transformers'} & set(sys.modules) else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True)
        assert done.returncode == 0, words


def test_help_lists_groups_and_ends_well(command) -> None:
    done = command.run("--help")
    assert done.returncode == 0
    for word in ("sampler: ", "pruner: ", "stage: ", "sweep: ", "experiment: ", "python run.py -m"):
        assert word in done.stdout


def test_hydra_flags_work_untouched(command) -> None:
    assert "learning_rate" in command.run("--cfg", "job", "--resolve").stdout
    assert command.run("--info", "defaults").returncode == 0
    lone = command.line("--hydra-help")[:-1]  # Hydra composes its own help without the application
    assert subprocess.run(lone, capture_output=True, env=command.environment()).returncode == 0
