"""Whether W&B can be reached, settled once a process and without ever asking or hanging."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import urllib.error
import urllib.request
from enum import Enum
from typing import Any

from stagetree.tracking.wandb_patience import end_service

log = logging.getLogger(__name__)

_REFUSED = (401, 403)


class Mode(Enum):
    """Where runs go."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


_settled: dict[Mode, Mode] = {}


def resolve(mode: Mode, timeout: float) -> Mode:
    """Return the mode that will work: ``online``, ``offline`` or ``disabled``.

    ``auto`` follows the ``WANDB_MODE`` environment variable; without it, it is online when
    there are credentials. Online without credentials or without an answering server becomes
    offline, with one warning a process.

    Args:
        mode: What the configuration asks for.
        timeout: Seconds that the server has to answer.
    """
    if mode is Mode.auto:
        mode = _from_environment()
    if mode is Mode.disabled:
        return mode
    # W&B's error reports hold up the end of the process when the server does not answer.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if mode is Mode.offline:
        return mode
    if mode not in _settled:
        _settled[mode] = _reachable(mode, timeout)
    return _settled[mode]


def fall_back(error: Exception) -> None:
    """Stay offline from now on in this process, because going online failed."""
    log.warning(
        "W&B could not go online (%s: %s). Runs are kept offline, upload: wandb sync",
        type(error).__name__,
        error,
    )
    _settled[Mode.online] = _settled[Mode.auto] = Mode.offline


def restart_service() -> None:
    """Drop W&B's own process, so that the next run starts a new one.

    After a start that failed, the old one is either dead or keeps the run's id to itself.
    """
    import wandb

    end_service()
    with contextlib.suppress(Exception):
        wandb.teardown()


def _from_environment() -> Mode:
    text = os.environ.get("WANDB_MODE", "").strip().lower()
    known = {"online": Mode.online, "run": Mode.online, "shared": Mode.online}
    known |= {"offline": Mode.offline, "dryrun": Mode.offline, "disabled": Mode.disabled}
    return known.get(text, Mode.auto)


def _reachable(mode: Mode, timeout: float) -> Mode:
    try:
        settings = _log_in()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the key, we go on
        fault = f"the credentials cannot be used: {error}"
    else:
        if settings is None:
            fault = "" if mode is Mode.auto else "there is no API key; run: wandb login"
            if mode is Mode.auto:
                return Mode.offline
        else:
            fault = _probe(str(settings.base_url), settings.api_key, timeout)
    if not fault:
        return Mode.online
    log.warning("W&B stays offline: %s. Runs are kept locally, upload: wandb sync", fault)
    return Mode.offline


def _log_in() -> Any:
    """Return W&B's settings with the credentials it finds by itself, or ``None`` without any."""
    import wandb

    session = wandb.setup(settings=wandb.Settings(silent=True))
    if not wandb.login(prompt=False, verify=False):
        return None
    return session.settings


def _probe(base_url: str, key: str | None, timeout: float) -> str:
    """Return what is wrong with server or key, or nothing.

    ``wandb.init`` itself takes 20 seconds and more to notice.
    """
    body = json.dumps({"query": "query { viewer { username } }"}).encode()
    request = urllib.request.Request(f"{base_url.rstrip('/')}/graphql", data=body)
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
        )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.loads(response.read(65536))
    except urllib.error.HTTPError as error:
        return f"{base_url} refuses the API key" if error.code in _REFUSED and key else ""
    except (OSError, ValueError) as error:
        return f"{base_url} does not answer ({getattr(error, 'reason', error)})"
    viewer = (answer.get("data") or {}).get("viewer") if isinstance(answer, dict) else None
    return "" if viewer or not key else f"{base_url} does not know the API key"
