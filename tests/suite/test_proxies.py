"""This machine is reached directly whatever proxy the environment names; a proxy in the way of others is named."""

from __future__ import annotations

import os

import pytest
import requests

from suite.proxies import proxy_of, reach_directly, without_password


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.1.1"])
def test_loopback_goes_past_proxies(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://someone:secret@10.0.0.1:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "other.example")
    url = f"http://{host}:5000/api"
    assert proxy_of(url) == "http://someone:***@10.0.0.1:3128"
    for _ in range(2):
        reach_directly(url)
    assert proxy_of(url) is None
    assert requests.utils.get_environ_proxies(url) == {}
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == f"other.example,{host.strip('[]')}"


def test_others_keep_their_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://10.0.0.1:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    reach_directly("http://mlflow.example:5000")
    assert proxy_of("http://mlflow.example:5000") == "http://10.0.0.1:3128"
    assert proxy_of("sqlite:///mlflow.db") is None


def test_passwords_are_not_shown() -> None:
    assert without_password("postgresql://me:pa@ss@host/db") == "postgresql://me:***@host/db"
    assert without_password("sqlite:////tmp/a:b@c/mlflow.db") == "sqlite:////tmp/a:b@c/mlflow.db"
