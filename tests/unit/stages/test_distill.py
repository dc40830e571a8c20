import json
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from stagetree.core.errors import ModelError
from stagetree.core.signature import digest
from stagetree.data.augment.base import AugmentConfig
from stagetree.models.config import ModelConfig
from stagetree.models.load import load
from stagetree.stages.base import STAGES, Upstream
from stagetree.stages.distill import Distill, DistillConfig
from stagetree.stages.finetune import Finetune, FinetuneConfig
from stagetree.tasks.ner import LongTexts, NerConfig, NerTask
from stagetree.training.config import Phase
from stagetree.training.distill_config import StudentConfig, UnlabeledConfig
from stagetree.training.transfer_config import LayerMap, TransferConfig

WEAK = {"learning_rate": 5e-3, "epochs": 6.0, "batch_size": 8, "max_length": 32}
BEFORE = [Upstream("finetune", "finetune"), Upstream("other", "finetune")]


@pytest.fixture(scope="module")
def teacher(make_context):
    context, _ = make_context("teacher")
    Finetune.run(FinetuneConfig(**WEAK), context)
    return context.output


def test_is_a_stage_with_a_structured_config():
    assert STAGES["distill"] is Distill
    config = OmegaConf.to_object(OmegaConf.structured(DistillConfig))
    assert config == DistillConfig()
    assert isinstance(config.student, StudentConfig)


def test_roles_name_teacher_then_input():
    def roles(**options):
        return list(Distill.roles(DistillConfig(**options), BEFORE).items())

    assert roles() == [("teacher", "other"), ("input", "other")]
    assert roles(teacher="finetune") == [("teacher", "finetune"), ("input", "other")]
    assert roles(input="finetune") == [("teacher", "finetune"), ("input", "finetune")]


def test_faults_come_at_once_and_name_the_nearest_teacher():
    config = DistillConfig(
        teacher="fintune",
        temperature=0.0,
        alpha=1.5,
        learning_rate=0.0,
        student=StudentConfig(layers=-1, keep=[2, 1], overrides={"a": 1}),
    )
    found = {fault.path: fault.message for fault in Distill.check(config, BEFORE)}
    assert "Did you mean 'finetune'" in found["teacher"]
    assert {"temperature", "alpha", "learning_rate", "student.layers", "student.keep"} < set(found)
    assert "student.overrides" in found
    assert Distill.check(DistillConfig(teacher="finetune"), BEFORE) == []


def test_compressed_input_cannot_be_a_student():
    before = [*BEFORE, Upstream("quantize", "quantize")]
    [fault] = Distill.check(DistillConfig(), before)
    assert (fault.path, "trained" in fault.message) == ("input", True)
    assert Distill.check(DistillConfig(student=StudentConfig(model="minilm_l6")), before) == []


@pytest.mark.parametrize("student", [StudentConfig(layers=1), StudentConfig(keep=[1])])
def test_shallow_student_learns_the_teachers_answers(make_context, teacher, encode, student):
    context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
    Distill.run(DistillConfig(**WEAK, alpha=1.0, student=student), context)
    taught, runner = load(teacher, numerics="fp32"), load(context.output, numerics="fp32")
    assert runner.parameters < taught.parameters
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.7
    [answers] = (context.scratch / "shared").glob("answers-*")
    kept = np.load(answers / "logits.npy")
    rows = encode(context, taught, "train")
    labelled = sum(label != -100 for labels in rows["labels"] for label in labels)
    assert kept.shape == (labelled, len(taught.labels))


def test_alpha_zero_without_a_teacher_is_finetuning(make_context, teacher):
    curves = []
    for name, run in (
        (
            "distill",
            lambda context: Distill.run(
                DistillConfig(**WEAK, alpha=0.0, student=StudentConfig(layers=0)), context
            ),
        ),
        ("finetune", lambda context: Finetune.run(FinetuneConfig(**WEAK), context)),
    ):
        context, evaluations = make_context(name, {"teacher": teacher, "input": teacher})
        run(context)
        curves.append([metrics["loss"] for _, metrics in evaluations])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


def test_other_labels_are_refused(make_context, teacher, corpus_with_other_labels, base_dir):
    context, _ = make_context("student", {"teacher": teacher, "input": teacher})
    config = DistillConfig(**WEAK, student=StudentConfig(model=str(base_dir)))
    with pytest.raises(ModelError, match="expected the teacher of 'student' to have the labels"):
        Distill.run(config, replace(context, corpus=corpus_with_other_labels))


def test_too_many_layers_are_refused(make_context, teacher):
    context, _ = make_context("student", {"teacher": teacher, "input": teacher})
    with pytest.raises(ModelError, match="at most 2"):
        Distill.run(DistillConfig(**WEAK, student=StudentConfig(layers=5)), context)


def test_reuse_of_frozen_layers_changes_no_number(teacher, make_context):
    results = []
    for reuse in (True, False):
        context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
        phases = [Phase(0.5, 0), Phase(1.0)]
        student = StudentConfig(layers=0)
        Distill.run(DistillConfig(**WEAK, unfreeze=phases, reuse=reuse, student=student), context)
        results.append(((context.output / "model.safetensors").read_bytes(), evaluations))
    assert results[0] == results[1]


def test_the_teacher_speaks_on_augmented_examples_too(make_context, teacher):
    context, evaluations = make_context("student", inputs={"teacher": teacher, "input": teacher})
    augment = AugmentConfig("drop_words", 1, 0.3)
    Distill.run(DistillConfig(**WEAK, augment=augment), context)
    assert max(metrics["f1"] for _, metrics in evaluations) > 0.8
    [place] = (context.scratch / "shared").iterdir()
    taught = np.load(place / "logits.npy")
    words = sum(len(tokens) for tokens in context.corpus.train["tokens"])
    assert 1.5 * words < len(taught) < 2 * words


def faults(**options):
    return {f.path: f.message for f in Distill.check(DistillConfig(**options), BEFORE)}


def test_roles_of_several_teachers_come_in_their_order():
    def roles(**options):
        return list(Distill.roles(DistillConfig(**options), BEFORE).items())

    both = {"other": 0.3, "finetune": 0.7}
    first = [("teacher", "other"), ("teacher_2", "finetune")]
    assert roles(teachers=both, teacher="finetune") == [*first, ("input", "other")]
    assert roles(teachers=both, input="finetune") == [*first, ("input", "finetune")]


def test_names_of_teachers_are_not_signed_but_their_shares_are():
    def fields(**options):
        config = DistillConfig(**options)
        return Distill.fields(config, Distill.roles(config, BEFORE))

    plain = fields()
    assert not {"teacher", "teachers", "transfer", "unlabeled", "input", "kind"} & plain.keys()
    one = fields(teachers={"finetune": 0.7, "other": 0.3})
    assert one == fields(teachers={"other": 0.7, "finetune": 0.3})
    assert one == {**plain, "teachers": [0.7, 0.3]}
    assert fields(teachers={"finetune": 2.0}) == plain
    assert fields(transfer=TransferConfig(layers=LayerMap.last)) == plain
    assert "transfer" in fields(transfer=TransferConfig(hidden=1.0))


def test_faults_of_teachers_transfer_and_text(tmp_path):
    found = faults(
        teachers={"fintune": 0.5, "other": 0.0}, unlabeled=UnlabeledConfig(max=0, share=2)
    )
    assert "Did you mean 'finetune'" in found["teachers.fintune"]
    assert set(found) == {"teachers.fintune", "teachers.other", "unlabeled.max", "unlabeled.share"}
    missing = UnlabeledConfig(files=[str(tmp_path / "none.txt")])
    assert "expected a file" in faults(unlabeled=missing)["unlabeled.files[0]"]
    malformed = tmp_path / "bad.jsonl"
    malformed.write_text('{"tokens": ["word1"]}\n{"tokens": 3}\n')
    found = faults(unlabeled=UnlabeledConfig(files=[str(malformed)]))["unlabeled.files[0]"]
    assert "bad.jsonl:2: expected a list" in found
    inside = TransferConfig(hidden=-1.0, relation=1.0)
    found = faults(transfer=inside, teachers={"finetune": 1.0, "other": 1.0})
    assert set(found) == {"transfer.hidden", "transfer"}
    before = [*BEFORE, Upstream("quantize", "quantize")]
    config = DistillConfig(teacher="quantize", input="finetune", transfer=TransferConfig(hidden=1))
    [fault] = Distill.check(config, before)
    assert (fault.path, "PyTorch" in fault.message) == ("transfer", True)


@pytest.fixture(scope="module")
def pieces_dir(tmp_path_factory):
    """A model of another family and width, whose tokenizer cuts every word in pieces."""
    import torch
    import transformers

    place = tmp_path_factory.mktemp("pretrained") / "tiny-distilbert"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, "word", *(f"##{digit}" for digit in range(10))]
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=24, n_layers=2, n_heads=3, hidden_dim=48
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.DistilBertModel(config).save_pretrained(place)
    vocab = {word: index for index, word in enumerate(words)}
    transformers.DistilBertTokenizerFast(vocab=vocab).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def other_teacher(make_context, pieces_dir):
    context, _ = make_context("other")
    config = FinetuneConfig(**{**WEAK, "max_length": 16})
    Finetune.run(config, replace(context, model=ModelConfig(name=str(pieces_dir))))
    return context.output


def best(evaluations):
    return max(metrics["f1"] for _, metrics in evaluations)


def test_several_teachers_of_other_families_and_tokenizers(make_context, teacher, other_teacher):
    inputs = {"teacher": other_teacher, "teacher_2": teacher, "input": teacher}
    context, evaluations = make_context("student", inputs)
    options = {**WEAK, "alpha": 1.0, "max_length": 16}
    Distill.run(DistillConfig(**options, teachers={"other": 0.3, "finetune": 0.7}), context)
    assert best(evaluations) > 0.7
    assert len(list((context.scratch / "shared").iterdir())) == 2


def test_a_teacher_whose_tokenizer_reads_less_is_refused(make_context, teacher, other_teacher):
    context, _ = make_context("student", {"teacher": other_teacher, "input": teacher})
    truncating = replace(context, task=NerTask(NerConfig(long_texts=LongTexts.truncate)))
    config = DistillConfig(**{**WEAK, "max_length": 8})
    with pytest.raises(ModelError, match="long_texts=split"):
        Distill.run(config, truncating)


def test_states_of_another_tokenizer_are_refused(make_context, teacher, other_teacher):
    context, _ = make_context("student", {"teacher": other_teacher, "input": teacher})
    config = DistillConfig(**WEAK, transfer=TransferConfig(hidden=1.0))
    with pytest.raises(ModelError, match="have the student's tokenizer"):
        Distill.run(config, context)


def test_text_without_labels_teaches(make_context, teacher, tmp_path):
    generator = np.random.default_rng(9)
    sentences = [[f"word{n}" for n in generator.integers(0, 60, 8)] for _ in range(60)]
    lines, records = tmp_path / "lines.txt", tmp_path / "records.jsonl"
    lines.write_text("\n".join(" ".join(words) for words in sentences[:30]), encoding="utf-8")
    records.write_text("\n".join(json.dumps({"tokens": words}) for words in sentences[30:]))
    files = [str(lines), str(records)]
    ends = []
    for unlabeled in (UnlabeledConfig(), UnlabeledConfig(files), UnlabeledConfig(files, 10)):
        context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
        steps = []
        heard = replace(context, stepped=lambda step, total, logs, to=steps: to.append(total))
        Distill.run(DistillConfig(**{**WEAK, "epochs": 4.0}, unlabeled=unlabeled), heard)
        ends.append((steps[-1], best(evaluations)))
    rows = [120, 180, 130]
    assert [total for total, _ in ends] == [4 * -(-count // 8) for count in rows]
    assert min(f1 for _, f1 in ends) > 0.5


def test_a_share_of_the_labels_is_not_looked_at(make_context, teacher):
    curves = []
    for alpha, share in ((0.2, 1.0), (1.0, 0.0), (0.2, 0.5)):
        context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
        unlabeled = UnlabeledConfig(share=share)
        options = {**WEAK, "epochs": 1.0}
        Distill.run(DistillConfig(**options, alpha=alpha, unlabeled=unlabeled), context)
        curves.append([metrics["loss"] for _, metrics in evaluations])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert curves[2] != pytest.approx(curves[1], abs=1e-4)


def test_labels_in_another_order_or_more_of_them_are_sorted_out(make_context, teacher, tmp_path):
    import shutil

    from stagetree.models import format as model_format
    from stagetree.models import huggingface

    model, tokenizer, manifest = huggingface.open_model(teacher)
    order = [2, 0, 1]
    model.classifier.weight.data = model.classifier.weight.data[order]
    model.classifier.bias.data = model.classifier.bias.data[order]
    turned = tmp_path / "turned"
    turned.mkdir()
    names = [manifest.labels[place] for place in order]
    huggingface.save(model, tokenizer, turned, "ner", names, manifest.max_length)
    curves = []
    for one in (teacher, turned):
        context, evaluations = make_context("student", {"teacher": one, "input": teacher})
        Distill.run(DistillConfig(**{**WEAK, "epochs": 1.0}), context)
        curves.append(evaluations)
    assert curves[0] == curves[1]
    shutil.rmtree(turned)
    assert model_format.read(teacher).labels == manifest.labels


@pytest.mark.parametrize(
    "transfer",
    [
        TransferConfig(hidden=1.0, embedding=1.0, attention=1.0),
        TransferConfig(relation=1.0, relation_heads=4),
    ],
    ids=["tinybert", "minilm"],
)
def test_transfer_from_inside_brings_the_student_nearer(make_context, teacher, encode, transfer):
    differences = []
    for config in (TransferConfig(), transfer):
        context, _ = make_context("student", {"teacher": teacher, "input": teacher})
        student = StudentConfig(layers=1)
        Distill.run(
            DistillConfig(**{**WEAK, "learning_rate": 1e-3}, student=student, transfer=config),
            context,
        )
        differences.append(inside_difference(context, teacher, transfer, encode))
    assert differences[1] < 0.9 * differences[0]


def inside_difference(context, teacher, transfer, encode):
    import torch

    from stagetree.models import huggingface
    from stagetree.training.objectives import CrossEntropy
    from stagetree.training.transfer import Transfer

    student, tokenizer, _ = huggingface.open_model(context.output)
    above, _, _ = huggingface.open_model(teacher)
    rows = encode(context, load(context.output)).select(range(32))
    batch = context.task.collator(tokenizer)(list(rows))
    labels = batch.pop("labels")
    objective = Transfer(CrossEntropy(), student, above, transfer, 0)
    with torch.no_grad(), objective.joined(student):
        outputs = student(**batch, **objective.asks)
        gold = CrossEntropy()(outputs, labels, batch)
        return float(objective(outputs, labels, batch) - gold)


def test_shared_answers_give_the_same_bits(make_context, teacher, tmp_path):
    kept, made = {}, []

    def sharing(kind, version, fields, roles, make):
        key = digest([kind, version, fields, roles])
        if key not in kept:
            kept[key] = tmp_path / str(len(kept))
            kept[key].mkdir()
            make(kept[key])
            made.append(roles)
        return kept[key]

    curves = []
    for shared in (None, sharing, sharing):
        context, evaluations = make_context("student", {"teacher": teacher, "input": teacher})
        Distill.run(DistillConfig(**{**WEAK, "epochs": 2.0}), replace(context, sharing=shared))
        curves.append((evaluations, (context.output / "model.safetensors").read_bytes()))
    assert curves[0] == curves[1] == curves[2]
    assert made == [["teacher"]]
