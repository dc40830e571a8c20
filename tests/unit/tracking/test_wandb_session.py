import pytest

from stagetree.tracking import wandb_session
from stagetree.tracking.wandb_session import Mode, resolve


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    monkeypatch.setattr(wandb_session, "_settled", {})
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_auto_without_a_key_is_offline_and_says_nothing(caplog):
    assert resolve(Mode.auto, 1.0) is Mode.offline
    assert not caplog.records


def test_online_without_a_key_is_offline_with_one_warning(caplog):
    assert [resolve(Mode.online, 1.0) for _ in range(3)] == [Mode.offline] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "wandb login" in caplog.text


@pytest.mark.parametrize(
    ("text", "mode"),
    [("offline", Mode.offline), ("disabled", Mode.disabled), ("odd", Mode.offline)],
)
def test_auto_follows_the_environment(monkeypatch, text, mode):
    monkeypatch.setenv("WANDB_MODE", text)
    assert resolve(Mode.auto, 1.0) is mode


def test_what_the_configuration_says_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert resolve(Mode.offline, 1.0) is Mode.offline
