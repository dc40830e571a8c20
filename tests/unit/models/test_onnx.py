import logging
import warnings

import numpy as np
import pytest
import torch
import transformers

from stagetree.core.errors import ModelError
from stagetree.models import onnx
from stagetree.models.forms.onnx import feed, session

SHAPES = [(1, 1), (1, 128), (2, 3), (8, 1), (8, 128)]


def _model(family_config, family, task):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loader = getattr(transformers, f"AutoModelFor{task}Classification")
        return loader.from_config(family_config(family)).eval()


def _batch(shape):
    ids = torch.randint(5, 100, shape, generator=torch.Generator().manual_seed(shape[0]))
    mask = torch.ones_like(ids)
    for row in range(1, shape[0]):
        mask[row, max(1, shape[1] - row) :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("task", ["Token", "Sequence"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_the_graph_equals_the_model_at_every_shape(
    family_config, tokenizer, tmp_path, family, task
):
    model = _model(family_config, family, task)
    onnx.export(model, tokenizer, tmp_path / "plain.onnx")
    graph = session(tmp_path / "plain.onnx", 1)
    names = tuple(node.name for node in graph.get_inputs())
    for shape in SHAPES:
        batch = _batch(shape)
        with torch.inference_mode():
            expected = model(**batch).logits.numpy()
        found = graph.run(["logits"], feed(names, batch))[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_token_types_matter(family_config, tokenizer, tmp_path):
    model = _model(family_config, "bert", "Sequence")
    onnx.export(model, tokenizer, tmp_path / "plain.onnx")
    batch = _batch((2, 6))
    batch["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    graph = session(tmp_path / "plain.onnx", 1)
    with torch.inference_mode():
        expected = model(**batch).logits.numpy()
    names = tuple(node.name for node in graph.get_inputs())
    np.testing.assert_allclose(graph.run(["logits"], feed(names, batch))[0], expected, atol=1e-4)


def test_export_is_one_file_leaves_the_model_alone_and_is_silent(
    family_config, tokenizer, tmp_path, capfd
):
    model = _model(family_config, "bert", "Token").train()
    handlers, attention = list(logging.getLogger().handlers), model.config._attn_implementation
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        onnx.export(model, tokenizer, tmp_path / "plain.onnx")
        onnx.quantize(tmp_path / "plain.onnx", tmp_path / "int8.onnx")
    assert heard == []
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "plain.onnx"]
    assert model.training
    assert model.config._attn_implementation == attention
    assert logging.getLogger().handlers == handlers


def test_int8_shrinks_and_stays_close(family_config, tokenizer, tmp_path):
    plain, whole, part = (tmp_path / f"{name}.onnx" for name in ("plain", "whole", "part"))
    model = _model(family_config, "bert", "Sequence")
    onnx.export(model, tokenizer, plain)
    onnx.quantize(plain, whole)
    onnx.quantize(plain, part, per_channel=False, embeddings=False)
    assert whole.stat().st_size < part.stat().st_size < plain.stat().st_size
    batch = _batch((4, 16))
    names = tuple(node.name for node in session(plain, 1).get_inputs())
    expected, *others = (
        session(path, 1).run(["logits"], feed(names, batch))[0] for path in (plain, whole, part)
    )
    for found in others:
        assert not np.array_equal(found, expected)
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_quantising_twice_gives_equal_bytes(family_config, tokenizer, tmp_path):
    onnx.export(_model(family_config, "bert", "Token"), tokenizer, tmp_path / "plain.onnx")
    for name in ("a", "b"):
        onnx.quantize(tmp_path / "plain.onnx", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_that_depends_on_shapes_is_caught(family_config, tokenizer, tmp_path):
    class Odd(transformers.BertForTokenClassification):
        def forward(self, input_ids, attention_mask=None):
            found = super().forward(input_ids, attention_mask=attention_mask)
            found.logits = found.logits * (1.0 if input_ids.shape[1] < 10 else 3.0)
            return found

    with pytest.raises(ModelError, match="depends on the shape"):
        onnx.export(Odd(family_config("bert")), tokenizer, tmp_path / "odd.onnx")


def test_what_cannot_be_quantised_is_named(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"cannot quantise .*no\.onnx"):
        onnx.quantize(tmp_path / "no.onnx", tmp_path / "out.onnx")
