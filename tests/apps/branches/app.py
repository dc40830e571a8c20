"""A Hydra app whose config groups have different keys, and a function that adds to its space."""

from pathlib import Path

import hydra
from omegaconf import DictConfig
from optuna import Trial


def custom(cfg: DictConfig, trial: Trial) -> None:
    """Suggest as many layers as the trial's size says."""
    for place in range(trial.params["size"]):
        trial.suggest_float(f"+layer{place}", cfg.x, 1.0)


def broken(cfg: DictConfig, trial: Trial) -> None:
    """Fail."""
    trial.suggest_float("x", 0.0, cfg.missing)


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> float:
    if cfg.log:
        with (Path(hydra.utils.get_original_cwd()) / cfg.log).open("a") as file:
            file.write(f"{cfg.method}\n")
    layers = sum(value for key, value in cfg.items() if str(key).startswith("layer"))
    return cfg.x**2 + cfg.size + layers + cfg.method.get("rate", 0) * cfg.method.get("depth", 1)


if __name__ == "__main__":
    main()
