"""Adapters in real pipelines at toy length, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagetree.models import format as model_format

SHORT = ("debug=short", "model=tiny", "numerics=fp32", "tracker=none")


def forms(command) -> dict[str, str]:
    rows = command.json("store", "ls")
    return {row["kind"]: model_format.read(Path(row["model_dir"])).form for row in rows}


def test_a_merged_adapter_is_distilled_and_quantised(command) -> None:
    words = ("stage=[finetune,distill,quantize]", "stages.finetune.adapter.method=lora")
    done = command.run(*words, "stages.distill.adapter.method=ia3", *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert forms(command) == {
        "finetune": "huggingface",
        "distill": "huggingface",
        "quantize": "onnx",
    }
    directory = Path(command.json("store", "ls")[0]["model_dir"])
    assert (directory / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_a_model_with_virtual_tokens_teaches(command, method) -> None:
    done = command.run(
        "stage=[finetune,distill]",
        f"stages.finetune.adapter.method={method}",
        "stages.distill.student.model=minilm_l6",
        "stages.distill.student.layers=1",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert forms(command) == {"finetune": "adapter", "distill": "huggingface"}
