"""A Hydra app whose objective costs nothing: it may sleep, and notes when it ran.

Every run appends a line to ``log``: process id, start and end in seconds since 1970.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore


@dataclass
class Config:
    """The app's options.

    Attributes:
        x: First parameter.
        y: Second parameter.
        pause: Seconds a run sleeps.
        log: File that gets a line a run.
    """

    x: float = 0.0
    y: float = 1.0
    pause: float = 0.0
    log: str = "/dev/null"


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(config_path=None, config_name="config", version_base="1.3")
def main(cfg: Config) -> float:
    """Return a parabola's value."""
    start = time.time()
    time.sleep(cfg.pause)
    value = cfg.x**2 + cfg.y
    with Path(cfg.log).open("a") as file:
        file.write(f"{os.getpid()} {start} {time.time()}\n")
    return value


if __name__ == "__main__":
    main()
