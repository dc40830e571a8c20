import pytest
import torch

from stagetree.core.errors import ModelError
from stagetree.training.learner import Learner
from stagetree.training.masks import Gradual, Masks


def matrices(model):
    return [
        weight
        for name, weight in model.named_parameters()
        if ".layer." in name and weight.ndim == 2
    ]


def test_an_open_mask_changes_nothing(make_model, weights, difference):
    model = make_model().eval()
    before, ids = weights(model), torch.tensor([[2, 8, 9, 3]])
    expected = model(input_ids=ids).logits
    for learned in (False, True):
        masks = Masks(model, learned)
        assert torch.equal(model(input_ids=ids).logits, expected)
        masks.bake()
        assert difference(before, weights(model)) == 0.0


@pytest.mark.parametrize("uniform", [True, False])
def test_the_least_weights_become_zero_and_the_others_stay(make_model, uniform):
    model = make_model()
    before = [weight.detach().clone() for weight in matrices(model)]
    masks = Masks(model)
    masks.sparsify(0.75, uniform)
    assert masks.sparsity == pytest.approx(0.75, abs=1e-3)
    masks.bake()
    after = matrices(model)
    closed = torch.cat([old.abs()[new == 0] for old, new in zip(before, after, strict=True)])
    kept = torch.cat([old.abs()[new != 0] for old, new in zip(before, after, strict=True)])
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[new != 0], new[new != 0])
    if uniform:
        assert all(float((new == 0).float().mean()) == 0.75 for new in after)
    else:
        assert float(closed.max()) <= float(kept.min())


def test_two_of_every_four_inputs_stay(make_model):
    model = make_model()
    before = [weight.detach().clone() for weight in matrices(model)]
    masks = Masks(model)
    masks.pattern(2, 4)
    with pytest.raises(ModelError, match="inputs divide by 5 but got one of 32"):
        masks.pattern(2, 5)
    masks.bake()
    for old, new in zip(before, matrices(model), strict=True):
        groups, whole = new.view(-1, 4), old.view(-1, 4).abs()
        assert bool(((groups != 0).sum(1) == 2).all())
        least = torch.where(groups != 0, whole, 9.0).amin(1)
        assert bool((torch.where(groups == 0, whole, 0.0).amax(1) <= least).all())


def test_scores_learn_what_to_mask(make_model):
    """A weight whose growth lowers the loss gains, one that should shrink loses."""
    model = make_model().eval()
    masks = Masks(model, learned=True)
    linear = model.bert.encoder.layer[0].output.dense
    parts = linear.parametrizations.weight
    loss = (linear.weight * torch.sign(parts.original.detach())).sum()  # all should shrink
    loss.backward()
    assert torch.equal(parts[0].scores.grad, parts.original.detach().abs())
    with torch.no_grad():
        parts[0].scores -= 0.1 * parts[0].scores.grad
    masks.sparsify(0.5, uniform=True)
    closed = parts.original.detach().abs()[parts[0].mask == 0]
    assert float(closed.min()) >= float(
        parts.original.detach().abs()[parts[0].mask == 1].max()
    )  # the larger ones, which must shrink most


def test_training_ends_at_the_target_and_never_with_a_denser_best(
    make_model, heard, tokenizer, task, train_rows, validation_rows
):
    from stagetree.training.config import TrainingConfig
    from stagetree.training.engine import train
    from stagetree.training.learner import Lessons
    from stagetree.training.objectives import CrossEntropy

    seen = []
    for learned in (False, True):
        model = make_model()
        masks = Masks(model, learned, Gradual(0.9, until=0.6, every=2))
        context = heard(str(learned), interrupt=lambda at, m=masks: seen.append((at, m.sparsity)))
        config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3, evaluations=5)
        learner = Learner(model, tokenizer, ["O", "B-X", "I-X"], masks)
        train(learner, Lessons(train_rows, validation_rows), task, config, CrossEntropy(), context)
        assert masks.sparsity == pytest.approx(0.9, abs=1e-3)
        scores = [m.scores for m in masks._masks if m.scores is not None]
        assert all(float(score.detach().abs().max()) > 0 for score in scores)
        assert len(scores) == (12 if learned else 0)
    rising = [share for at, share in seen[:3]]
    assert rising == sorted(rising)
    assert rising[0] < 0.9
    assert [share for at, share in seen[2:5]] == pytest.approx([0.9] * 3, abs=1e-3)
