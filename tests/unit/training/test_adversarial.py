from functools import partial

import pytest
import torch
from torch.nn import functional

from stagetree.core.errors import TrialPruned
from stagetree.training.adversarial import Adversary
from stagetree.training.config import AdversarialConfig, Attack

METHODS = [Attack.fgm, Attack.pgd, Attack.freelb]
SHORT = {"max_steps": 6, "evaluations": 3}


class Attacked:
    """A model, one batch, and what an adversary made of them."""

    def __init__(self, model, **options):
        generator = torch.Generator().manual_seed(3)
        self.model = model.train()
        self.ids = torch.randint(4, 64, (4, 7), generator=generator)
        self.labels = torch.randint(0, 3, (4, 7), generator=generator)
        self.mask = torch.ones(4, 7, dtype=torch.long)
        self.mask[1:, 4:] = 0
        self.labels[self.mask == 0] = -100
        self.adversary = Adversary(model, AdversarialConfig(**options))
        self.losses, self.deltas = [], []

    def loss(self):
        logits = self.model(input_ids=self.ids, attention_mask=self.mask).logits
        loss = functional.cross_entropy(logits.view(-1, 3), self.labels.view(-1))
        self.losses.append(loss.item())
        if self.adversary.delta is not None:
            self.deltas.append(self.adversary.delta.detach().clone())
        return loss

    def learn(self, share):
        loss = self.loss() * share
        loss.backward()
        return loss.detach()

    def run(self):
        return self.adversary.learn(self.mask, self.learn, self.loss)


@pytest.mark.parametrize("method", METHODS)
def test_loss_rises_and_the_table_stays(make_model, method):
    attacked = Attacked(make_model(dropout=0.0), method=method, epsilon=0.3)
    table = attacked.model.get_input_embeddings().weight
    before = table.detach().clone()
    mean = attacked.run()
    assert attacked.losses == sorted(attacked.losses)
    assert attacked.losses[-1] > attacked.losses[0] + 1e-3
    assert torch.equal(table, before)
    learnt = attacked.losses
    if method is Attack.pgd:
        learnt = [attacked.losses[0], attacked.losses[-1]]
    assert mean.item() == pytest.approx(sum(learnt) / len(learnt), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_perturbation_is_within_its_share_of_the_norm_and_off_the_padding(make_model, method):
    options = {"method": method, "epsilon": 0.2, "steps": 4, "step_size": 0.15}
    attacked = Attacked(make_model(dropout=0.0), **options)
    attacked.run()
    embedded = attacked.model.get_input_embeddings()(attacked.ids).detach()
    embedded *= attacked.mask.unsqueeze(-1)
    share = attacked.deltas[-1].flatten(1).norm(dim=1) / embedded.flatten(1).norm(dim=1)
    assert (share <= 0.2 + 1e-5).all()
    assert share.max().item() == pytest.approx(0.2, rel=1e-4)
    assert attacked.deltas[-1][attacked.mask == 0].abs().max() == 0


def test_fgm_is_the_formula(make_model):
    attacked = Attacked(make_model(dropout=0.0), method=Attack.fgm, epsilon=0.1)
    attacked.run()
    found = {name: weight.grad.clone() for name, weight in attacked.model.named_parameters()}
    attacked.model.zero_grad()
    embedded = attacked.model.get_input_embeddings()(attacked.ids).detach().requires_grad_()
    forward = partial(attacked.model, attention_mask=attacked.mask)
    loss = functional.cross_entropy(
        forward(inputs_embeds=embedded).logits.view(-1, 3), attacked.labels.view(-1)
    )
    (slope,) = torch.autograd.grad(loss, embedded)
    norm = (embedded * attacked.mask.unsqueeze(-1)).flatten(1).norm(dim=1).view(-1, 1, 1)
    moved = 0.1 * norm * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1)
    table = attacked.model.get_input_embeddings()
    for delta in (0, moved):
        logits = forward(inputs_embeds=table(attacked.ids) + delta).logits
        loss = functional.cross_entropy(logits.view(-1, 3), attacked.labels.view(-1))
        (loss / 2).backward()
    for name, weight in attacked.model.named_parameters():
        assert torch.allclose(weight.grad, found[name], atol=1e-6), name


@pytest.mark.parametrize("numerics", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_trains_reproducibly_and_otherwise(
    make_model, heard, run, weights, difference, method, numerics
):
    trained = []
    options = {"adversarial": AdversarialConfig(method, 0.2, 2)}
    for name, more in (("a", options), ("b", options), ("c", {})):
        model = make_model()
        run(model, heard(name, numerics=numerics), **SHORT, **more)
        trained.append(weights(model))
    assert difference(trained[0], trained[1]) == 0
    assert difference(trained[0], trained[2]) > 1e-4


@pytest.mark.parametrize("method", [Attack.fgm, Attack.pgd])
def test_micro_batches_make_the_same_step(make_model, heard, run, weights, difference, method):
    one, other = make_model(dropout=0.0), make_model(dropout=0.0)
    options = {**SHORT, "adversarial": AdversarialConfig(method, 0.2, 2)}
    run(one, heard("whole"), **options)
    run(other, heard("parts"), **options, micro_batch_size=2)
    assert difference(weights(one), weights(other)) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_goes_on_exactly_where_it_was_stopped(make_model, heard, run, weights, difference, method):
    options = {**SHORT, "adversarial": AdversarialConfig(method, 0.2, 2), "r_drop": 0.5}
    whole = make_model()
    run(whole, heard("whole"), **options)

    def stop(fraction):
        raise TrialPruned

    with pytest.raises(TrialPruned):
        run(make_model(), heard("parts", interrupt=stop), **options)
    resumed = make_model()
    run(resumed, heard("parts"), **options)
    assert difference(weights(whole), weights(resumed)) == 0


def test_a_frozen_bottom_is_attacked_too(make_model, heard, run):
    from stagetree.training.config import Phase

    phases = [Phase(0.5, 0), Phase(1.0, -1)]
    options = {"adversarial": AdversarialConfig(Attack.pgd, 0.2, 2), "unfreeze": phases}
    assert run(make_model(), heard(), **SHORT, **options)["loss"] > 0
