"""With which arithmetic a stage computes, and which the machine runs natively."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stagetree.core.errors import ConfigError, Fault, unknown

if TYPE_CHECKING:
    import torch

NUMERICS = ("fp32", "fp32_fast", "bf16")
"""``fp32``: IEEE single precision. ``fp32_fast``: PyTorch's "medium" matrix products, which on a
CPU without bfloat16 units are other kernels of the same precision. ``bf16``: weights and optimiser
in fp32, forward and backward under bfloat16 autocast."""

_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def resolve(name: str) -> str:
    """Return the concrete numerics that ``name`` means on this machine.

    PyTorch is imported only where there is an NVIDIA device to ask about.

    Args:
        name: ``auto`` or one of ``NUMERICS``.

    Raises:
        ConfigError: There are no such numerics.

    >>> resolve("fp32")
    'fp32'
    """
    if name == "auto":
        return _pick()[0]
    if name not in NUMERICS:
        raise ConfigError([Fault("numerics", unknown("numerics", name, ("auto", *NUMERICS)))])
    return name


def machine_note() -> str:
    """Return one sentence on what ``auto`` picks on this machine, and why."""
    picked, why = _pick()
    return f"numerics auto is {picked}: {why}."


@contextlib.contextmanager
def apply(numerics: str) -> Iterator[None]:
    """Set PyTorch's precision of fp32 matrix products inside the block, and restore it after.

    Numbers below 1e-38 become zero inside: where gradients die, as they do at too high a
    learning rate, a CPU computes such numbers many times slower, and they change nothing.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if numerics == "fp32_fast" else "highest")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision(before)


def autocast(numerics: str, device_type: str) -> torch.autocast:
    """Return the context in which a forward pass runs; it does nothing for fp32."""
    import torch

    return torch.autocast(device_type, torch.bfloat16, enabled=numerics == "bf16")


@functools.cache
def _pick() -> tuple[str, str]:
    if Path("/dev/nvidiactl").exists():
        import torch

        if torch.cuda.is_available():
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bf16", "the GPU computes bfloat16 natively"
            return "fp32", "the GPU has no bfloat16 arithmetic"
    flags = _cpu_flags()
    native = sorted(_BF16_FLAGS & flags)
    if native:
        return "bf16", f"the CPU computes bfloat16 natively ({', '.join(native)})"
    if flags:
        return "fp32_fast", "the CPU has no bfloat16 units, so its fast kernels are true fp32"
    return "fp32", "nothing is known of what this CPU computes natively"


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()
