import torch
from transformers import BertConfig, BertForMaskedLM

from stagetree.models.blank import blank

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32}


def test_a_blank_model_has_its_architecture_ties_and_leaves_the_random_state():
    settings = BertConfig(**SIZES, intermediate_size=8)
    whole, before = BertForMaskedLM(settings), torch.random.get_rng_state()
    model = blank(BertForMaskedLM._from_config, settings)
    assert torch.equal(torch.random.get_rng_state(), before)
    shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (model, whole)]
    assert shapes[0] == shapes[1]
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.load_state_dict(whole.state_dict())
    ids = torch.arange(6)[None]
    assert torch.equal(model.eval()(ids).logits, whole.eval()(ids).logits)
    assert BertForMaskedLM(settings).get_input_embeddings().weight.std() > 0
