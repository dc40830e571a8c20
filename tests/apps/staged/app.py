"""A Hydra app of two stages that trials share: each is made once, and who comes late waits."""

import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from stagetree.core.lease import Lease
from stagetree.core.reporting import StageInfo, StageOutcome, current_trial


def outline(cfg: DictConfig) -> list[tuple[str, str]]:
    """Return the stages with their signatures."""
    return [("first", f"first-{cfg.a}"), ("second", f"second-{cfg.a}-{cfg.b}")]


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> float:
    place = Path(hydra.utils.get_original_cwd()) / "made"
    place.mkdir(exist_ok=True)
    for index, (name, signature) in enumerate(outline(cfg)):
        trial, made = current_trial(), place / signature
        lease = Lease(place / f"{signature}.lock", heartbeat=0.5, grace=5.0)
        begin = time.monotonic()
        if not lease.try_acquire():
            lease.acquire(poll=0.02)
            _log(place, f"waited {trial.number} {signature} {time.monotonic() - begin:.2f}")
        if not _is_made(place, signature):
            time.sleep(cfg.pause[index])
            _log(place, f"made {trial.number} {signature}")  # one write: killed before or after
        lease.release()
        info = StageInfo(name, name, index, 2, signature)
        trial.reporter.stage_finished(info, StageOutcome({}, cfg.pause[index], made))
    return float(cfg.a * cfg.b)


def _is_made(place: Path, signature: str) -> bool:
    log = place.parent / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return any(line.startswith("made") and line.split()[2] == signature for line in lines)


def _log(place: Path, line: str) -> None:
    with (place.parent / "log").open("a") as file:
        file.write(f"{line}\n")


if __name__ == "__main__":
    main()
