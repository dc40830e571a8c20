import pytest
import torch
import transformers

from stagetree.training.freezing import depths, parameter_groups

BERT = {"num_hidden_layers": 3, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 50}


@pytest.fixture(params=["bert", "distilbert", "electra"])
def model(request):
    if request.param == "bert":
        config = transformers.BertConfig(intermediate_size=32, **BERT)
    elif request.param == "electra":
        config = transformers.ElectraConfig(intermediate_size=32, embedding_size=8, **BERT)
    else:
        config = transformers.DistilBertConfig(
            n_layers=3, dim=16, n_heads=2, hidden_dim=32, vocab_size=50
        )
    return transformers.AutoModelForSequenceClassification.from_config(config)


def test_depths_know_head_layers_and_embeddings(model):
    by_name = dict(zip((name for name, _ in model.named_parameters()), depths(model), strict=True))
    for name, depth in by_name.items():
        if ".layer." in name:
            assert depth == 3 - int(name.split(".layer.")[1].split(".")[0]), name
        elif "embeddings" in name:
            assert depth == 4, name
        else:
            assert depth == 0, name


def test_groups_hold_every_parameter_once_and_decay_as_trainer_does(model):
    groups = parameter_groups(model, 1e-3, 1.0, 0.1)
    assert len(groups) == 2
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in model.parameters())
    names = {id(weight): name for name, weight in model.named_parameters()}
    decayed = {names[id(w)] for g in groups if g["weight_decay"] for w in g["params"]}
    trainer = transformers.Trainer.get_decay_parameter_names(object(), model)
    assert decayed == set(trainer)


def test_each_layer_learns_slower_than_the_one_above(model):
    rates = {}
    for group in parameter_groups(model, 1.0, 0.5, 0.0):
        rates |= {id(weight): group["lr"] for weight in group["params"]}
    by_depth = {
        depth: rates[id(w)] for w, depth in zip(model.parameters(), depths(model), strict=True)
    }
    assert by_depth == {0: 1.0, 1: 1.0, 2: 0.5, 3: 0.25, 4: 0.125}


def test_model_without_layers_is_refused():
    model = torch.nn.Linear(2, 2)
    model.base_model = model
    with pytest.raises(ValueError, match="list of layers"):
        depths(model)
