import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stagetree.core.errors import ConfigError
from stagetree.training import numerics


def test_auto_is_what_the_machine_does_natively():
    picked = numerics.resolve("auto")
    assert picked in numerics.NUMERICS
    assert picked in numerics.machine_note()
    cpu = Path("/proc/cpuinfo").read_text()
    if not torch.cuda.is_available():
        assert (picked == "bf16") == ("amx_bf16" in cpu or "avx512_bf16" in cpu)


def test_unknown_numerics_name_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'bf16'"):
        numerics.resolve("bf61")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="asks the GPU through torch")
def test_planning_imports_no_torch():
    code = (
        "import sys; from stagetree.training import numerics, checks, config, steps; "
        "from stagetree.stages import finetune, distill; numerics.resolve('auto'); "
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_precision_is_restored_after_an_error():
    with pytest.raises(KeyError), numerics.apply("fp32_fast"):
        assert torch.get_float32_matmul_precision() == "medium"
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"
