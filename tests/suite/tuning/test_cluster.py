"""What a session with a cluster leaves behind in the process: nothing that a Ray of our own would trip over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.tuning.cluster import ray_session, token_shown
from trainables.resources import Resources


@pytest.fixture(autouse=True)
def _a_user_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")


def test_the_token_is_shown_for_the_length_of_a_session_only() -> None:
    with pytest.raises(KeyError), token_shown():
        assert os.environ["RAY_AUTH_MODE"] == "token"
        raise KeyError
    assert "RAY_AUTH_MODE" not in os.environ


def test_a_ray_that_was_imported_before_shows_it_too() -> None:
    from ray._raylet import AuthenticationMode, AuthenticationTokenLoader, get_authentication_mode

    before = get_authentication_mode()
    with token_shown():
        assert get_authentication_mode() == AuthenticationMode.TOKEN
        assert AuthenticationTokenLoader.instance().get_raw_token() == "secret"
    assert get_authentication_mode() == before


def test_what_the_user_said_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with token_shown():
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_session_that_nobody_answered_leaves_no_mode_behind() -> None:
    """A local Ray's server would ask for the token then, and its clients in this process would not show it."""
    with pytest.raises(SuiteError, match="does not answer"), ray_session("127.0.0.1:9", Resources()):
        pass
    assert "RAY_AUTH_MODE" not in os.environ
