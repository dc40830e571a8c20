"""A Hydra app that knows nothing of pipelines: it returns a number and reports on the way."""

import os
import signal
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from stagetree.core.reporting import report


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> float | tuple[float, float]:
    if cfg.log:
        log = Path(hydra.utils.get_original_cwd()) / cfg.log
        with log.open("a") as file:
            file.write(f"{os.getpid()} x={cfg.x} y={cfg.y}\n")
        if len(log.read_text().splitlines()) <= cfg.crashes:
            raise RuntimeError("crash on purpose")
    if cfg.x == cfg.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.y == cfg.starves:
        raise MemoryError("no room on purpose")
    value = cfg.x**2 + cfg.y + cfg.curve.offset
    for step in range(1, 5):
        time.sleep(cfg.pause / 4)
        if not cfg.silent:
            report({"loss": value + 1 / step}, step / 4)
    return (value, -value) if cfg.pair else value


if __name__ == "__main__":
    main()
