"""Training on word embeddings that an adversary has moved to where the loss is higher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from stagetree.training.config import AdversarialConfig, Attack

if TYPE_CHECKING:
    from torch import Tensor, nn

_TINY = 1e-12


class Adversary:
    """Adds a perturbation to what the word embedding gives; the table itself is never changed.

    A perturbation has one norm a row of the batch (over its tokens, padding is left alone),
    measured against the norm of the row's embeddings, so that it means the same for every model.

    ``fgm`` and ``pgd`` learn half from the clean batch and half from the perturbed one; ``freelb``
    learns in equal parts from every step of the way. The loss and its gradient keep their size.

    Args:
        model: The model.
        config: Options of the adversary.
    """

    def __init__(self, model: Any, config: AdversarialConfig) -> None:
        self._embedding: nn.Module = model.get_input_embeddings()
        self._config = config
        self._steps = 1 if config.method is Attack.fgm else config.steps
        self._step_size = config.step_size or config.epsilon / self._steps
        if config.method is Attack.fgm:
            self._step_size = config.epsilon
        self.delta: Tensor | None = None
        self._real: Tensor | None = None
        self._scale = torch.ones(())

    def __bool__(self) -> bool:
        return self._config.method is not Attack.none

    def learn(
        self,
        attention_mask: Tensor | None,
        learn: Callable[[float], Tensor],
        loss: Callable[[], Tensor],
    ) -> Tensor:
        """Learn from one batch as the method says.

        Args:
            attention_mask: Which tokens are real; shape (rows, length). ``None``: all.
            learn: Makes a forward and a backward pass of the loss times its argument, and
                returns that product.
            loss: Makes a forward pass only and returns the loss.

        Returns:
            The mean of the losses learnt from.
        """
        with self._perturbing(attention_mask):
            if self._config.method is Attack.freelb:
                return self._every_step(learn)
            return self._last_step(learn, loss)

    def _last_step(self, learn: Callable[[float], Tensor], loss: Callable[[], Tensor]) -> Tensor:
        clean = learn(0.5)
        self._climb(self._gradient())
        for _ in range(self._steps - 1):
            found = loss()
            self._climb(torch.autograd.grad(found, self._leaf())[0])
        return clean + learn(0.5)

    def _every_step(self, learn: Callable[[float], Tensor]) -> Tensor:
        total = learn(1 / self._steps)
        for _ in range(self._steps - 1):
            self._climb(self._gradient())
            total = total + learn(1 / self._steps)
        return total

    @contextlib.contextmanager
    def _perturbing(self, attention_mask: Tensor | None) -> Iterator[None]:
        self.delta, self._real = None, attention_mask
        hook = self._embedding.register_forward_hook(self._perturb)
        try:
            yield
        finally:
            hook.remove()
            self.delta = self._real = None

    def _perturb(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if self.delta is None:
            self._scale = _norms(output.detach() * self._mask(output))
            self.delta = self._begin(output.detach()).requires_grad_()
        if output.shape != self.delta.shape:
            return output  # a decoder that shares the table
        return output + self.delta.to(output.dtype)

    def _begin(self, embedded: Tensor) -> Tensor:
        if self._config.method is not Attack.freelb:
            return torch.zeros_like(embedded, dtype=torch.float32)
        # Drawn on the CPU, where a checkpoint keeps the generator's state on any machine.
        drawn = (torch.rand(embedded.shape) * 2 - 1).to(embedded.device)
        mask = self._mask(embedded)
        radius = self._config.epsilon * self._scale / _norms(torch.ones_like(drawn) * mask)
        return self._inside(drawn * mask * radius)

    def _climb(self, gradient: Tensor) -> None:
        """Go one step up the gradient, and back onto the ball when that left it."""
        gradient = gradient.float() * self._mask(gradient)
        step = gradient / _norms(gradient) * self._step_size * self._scale
        self.delta = self._inside(self._leaf().detach() + step).requires_grad_()

    def _inside(self, delta: Tensor) -> Tensor:
        radius = self._config.epsilon * self._scale
        return delta * (radius / _norms(delta)).clamp(max=1)

    def _gradient(self) -> Tensor:
        gradient = self._leaf().grad
        if gradient is None:
            raise RuntimeError("expected the loss to depend on the word embeddings but it does not")
        return gradient

    def _leaf(self) -> Tensor:
        if self.delta is None:
            raise RuntimeError("expected the model to read its word embeddings but it did not")
        return self.delta

    def _mask(self, like: Tensor) -> Tensor:
        if self._real is None or self._real.shape != like.shape[: self._real.dim()]:
            return torch.ones((), device=like.device)
        return self._real.to(like.device).unsqueeze(-1).float()


def _norms(values: Tensor) -> Tensor:
    """Return the norm of every row, at least a tiny number; shape (rows, 1, ...)."""
    norms: Tensor = torch.linalg.vector_norm(values.float().flatten(1), dim=1).clamp(min=_TINY)
    return norms.view(-1, *(1 for _ in values.shape[1:]))
