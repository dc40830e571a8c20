"""Weight-only int8 and int4 by torchao, made for GPUs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from stagetree.core.errors import ModelError
from stagetree.models.quantization.base import METHODS, Method, Request
from stagetree.models.quiet import unprinted

_GROUP = 64


class _WeightOnly(Method):
    """Stores matrices in few bits and computes in floating point."""

    form: ClassVar[str] = "torchao"
    packages: ClassVar[Sequence[str]] = ("torchao",)
    extra: ClassVar[str] = "torchao"

    @classmethod
    def scheme(cls, model: Any) -> tuple[Any, Any]:
        """Return the model where and as it is to be quantised, and torchao's config."""
        raise NotImplementedError

    @classmethod
    def fits(cls, module: Any, name: str) -> bool:
        """Return whether a module is quantised."""
        from torch import nn

        return type(module) is nn.Linear

    @classmethod
    def write(cls, request: Request) -> None:
        """See :meth:`Method.write`."""
        import torch

        from stagetree.models.forms.torchao import FILE
        from stagetree.models.int8 import small_tables

        small = copy.deepcopy(request.model)
        if request.embeddings:
            small_tables(small, request.per_channel)
        with unprinted():
            from torchao.quantization import quantize_

            small, config = cls.scheme(small)
            try:
                quantize_(small, config, cls.fits)
            except (RuntimeError, ValueError, NotImplementedError, AssertionError) as error:
                raise ModelError(
                    f"torchao cannot quantise {type(request.model).__name__}: {error}"
                ) from error
            torch.save(small.state_dict(), request.output / FILE)


@METHODS.register("torchao_int8")
class TorchaoInt8(_WeightOnly):
    """Stores matrices as signed bytes with one scale an output channel."""

    name: ClassVar[str] = "torchao_int8"

    @classmethod
    def scheme(cls, model: Any) -> tuple[Any, Any]:
        """See :meth:`_WeightOnly.scheme`."""
        from torchao.quantization import Int8WeightOnlyConfig

        return model, Int8WeightOnlyConfig()


@METHODS.register("torchao_int4")
class TorchaoInt4(_WeightOnly):
    """Stores matrices in four bits, one scale a group of 64 inputs, and computes in bf16.

    A matrix whose number of inputs is no multiple of 64 stays in bf16.
    """

    name: ClassVar[str] = "torchao_int4"
    numerics: ClassVar[str] = "int4"
    gpu: ClassVar[bool] = True

    @classmethod
    def scheme(cls, model: Any) -> tuple[Any, Any]:
        """See :meth:`_WeightOnly.scheme`."""
        import torch
        from torchao.quantization import Int4WeightOnlyConfig

        config = Int4WeightOnlyConfig(
            group_size=_GROUP,
            set_inductor_config=False,
            int4_packing_format="tile_packed_to_4d",  # the kernels that PyTorch itself has
        )
        return model.to("cuda", torch.bfloat16), config

    @classmethod
    def fits(cls, module: Any, name: str) -> bool:
        """See :meth:`_WeightOnly.fits`."""
        return super().fits(module, name) and module.in_features % _GROUP == 0
