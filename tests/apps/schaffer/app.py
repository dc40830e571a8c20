"""Schaffer's problem: x^2 and (x - 2)^2, both to be small; the front is 0 <= x <= 2."""

import time

import hydra
from omegaconf import DictConfig


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> dict[str, float]:
    time.sleep(cfg.pause)
    return {"one": cfg.x**2, "other": (cfg.x - 2) ** 2}


if __name__ == "__main__":
    main()
