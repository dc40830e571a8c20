"""``stagetree predict`` as a user types it, for every task and model form."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stagetree.models import format as model_format
from stagetree.models import huggingface, onnx, tokenizers
from stagetree.models.config import ModelConfig
from stagetree.models.forms.onnx import FILE

HEADS = {
    "ner": ("AutoModelForTokenClassification", ["O", "B-PER", "I-PER"]),
    "classification": ("AutoModelForSequenceClassification", ["bad", "good"]),
}
CODE = "from stagetree.cli import main; main()"


def base(place: Path) -> ModelConfig:
    import torch
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(place)
    vocab = {word: number for number, word in enumerate(words)}
    transformers.BertTokenizerFast(vocab=vocab).save_pretrained(place)
    return ModelConfig(name=str(place))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """A tiny model directory by task and form."""
    root = tmp_path_factory.mktemp("models")
    config = base(root / "base")
    found = {}
    for task, (auto_class, labels) in HEADS.items():
        place = root / task
        place.mkdir()
        model = huggingface.build(config, auto_class, labels, seed=3)
        tokenizer = tokenizers.of_model(config)
        manifest = huggingface.save(model, tokenizer, place, task, labels, 16)
        other = root / f"{task}-onnx"
        other.mkdir()
        onnx.export(model, tokenizer, other / FILE)
        model.config.save_pretrained(other)
        tokenizers.save(tokenizer, other)
        model_format.write(other, replace(manifest, form="onnx"))
        found |= {(task, "huggingface"): place, (task, "onnx"): other}
    return found


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else one == other


def test_entities_of_raw_text_and_of_words_are_the_same_in_both_forms(
    command, models, tmp_path
) -> None:
    path = tmp_path / "in.jsonl"
    text = "peter met mary, and " * 12
    rows = [{"id": 7, "text": text}, {"tokens": text.replace(",", " ,").split(), "tags": ["O"]}]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    done = command.stagetree("predict", str(models["ner", "huggingface"]), str(path))
    assert done.returncode == 0, done.stderr
    raw, split = lines(done.stdout)
    assert raw["id"] == 7
    assert raw["tokens"] == split["tokens"] == rows[1]["tokens"]
    assert raw["tags"] == split["tags"]
    assert len(raw["tags"]) == len(raw["tokens"])
    assert split["input_tags"] == ["O"]
    assert raw["entities"]
    for entity in raw["entities"]:
        assert entity["text"] == text[entity["start"] : entity["end"]]
        words = raw["tokens"][entity["first_token"] : entity["last_token"] + 1]
        assert entity["text"].replace(" ", "") == "".join(words)
        assert raw["tags"][entity["first_token"]] == f"B-{entity['type']}"
        assert 0 < entity["score"] <= 1
    again = command.stagetree("predict", str(models["ner", "onnx"]), str(path))
    assert again.returncode == 0, again.stderr
    assert close(lines(again.stdout), lines(done.stdout))


def test_labels_of_a_table_come_as_a_table(command, models, tmp_path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text('id,body\n1,"hello, ""you"""\n2,"two\nlines"\n')
    for form in ("huggingface", "onnx"):
        place = str(models["classification", form])
        words = ("predict", place, str(path), "--text-column", "body", "--scores", "-o", str(out))
        done = command.stagetree(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "predicted 2 of 2 inputs" in done.stderr
        rows = list(csv.DictReader(io.StringIO(out.read_text())))
        assert [row["body"] for row in rows] == ['hello, "you"', "two\nlines"]
        for row in rows:
            scores = json.loads(row["scores"])
            assert max(scores, key=scores.get) == row["label"]
            assert float(row["score"]) == scores[row["label"]]
            assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_bad_lines_are_named_and_the_others_predicted(command, models, tmp_path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'{"text": "one", "text_pair": "two"}\n{"txt": "x"}\n{"text"\n\n[1]\n{"text": 3}\n'
        b'{"text": "\xff"}\n{"text": "last"}\n'
    )
    done = command.stagetree("predict", str(models["classification", "huggingface"]), str(path))
    assert done.returncode == 1
    assert [row["text"] for row in lines(done.stdout)] == ["one", "last"]
    said = done.stderr.splitlines()
    assert said[0] == (
        f"{path}:2: expected a field 'text' but got the fields ['txt']; did you mean 'txt'?"
    )
    assert [line.removeprefix(f"{path}:")[0] for line in said[:5]] == list("23567")
    assert "to be text but got 3" in said[3]
    assert "UTF-8 but got the byte ff" in said[4]
    assert said[5] == "predicted 2 of 7 inputs; 5 could not be used"


def test_standard_input_is_answered_before_it_ends(command, models) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "predict", str(models["classification", "huggingface"])],
        env=command.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("one", "two"):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == text
    process.stdin.close()
    assert process.stdout.read() == ""
    assert process.wait(timeout=60) == 0


def test_transformers_opens_a_plain_result_with_its_labels(models) -> None:
    import transformers

    tagged = transformers.pipeline("token-classification", model=str(models["ner", "huggingface"]))
    found = {row["entity"] for row in tagged("peter met mary, and peter")}
    assert found
    assert found <= {"B-PER", "I-PER"}
    place = str(models["classification", "huggingface"])
    named = transformers.pipeline("text-classification", model=place, top_k=None)
    (rows,) = named(["peter"])
    assert {row["label"] for row in rows} == {"bad", "good"}


def test_what_cannot_be_used_ends_with_exit_code_2(command, models, tmp_path) -> None:
    ner = str(models["ner", "huggingface"])
    rules = tmp_path / "rules.yaml"
    rules.write_text("- drop_shrt\n- allow: {types: [PERS]}\n- drop_short: {letters: 1}\n")
    path = tmp_path / "in.txt"
    path.write_text("one\n")
    for words, messages in (
        (
            (ner, str(tmp_path / "no.txt"), "--format", "jsnl"),
            ("FILE: expected a file", "Did you mean 'jsonl'"),
        ),
        ((str(tmp_path / "no"), str(path)), ("MODEL_DIR: expected a model directory",)),
        ((ner, str(path), "--max-length", "99"), ("--max-length: expected at most 16",)),
        (
            (ner, str(path), "--scores", "--threshold", "2"),
            ("--scores: it means nothing", "--threshold: expected a number from 0 to 1"),
        ),
        (
            (ner, str(path), "--rules", str(rules)),
            ("[0].drop_shrt: unknown rule", "Did you mean 'PER'", "unknown option 'letters'"),
        ),
    ):
        done = command.stagetree("predict", *words)
        assert done.returncode == 2, done.stderr
        assert all(message in done.stderr for message in messages), done.stderr
        assert done.stdout == ""
