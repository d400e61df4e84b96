"""Which requests go through a proxy of the environment: none to this machine, and the one that others take is named."""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from urllib.parse import urlsplit


def reach_directly(url: str) -> None:
    """Keep this process's requests away from proxies when ``url`` names this machine, which no proxy can reach for us."""
    host = _host(url)
    if host is None or not _is_loopback(host):
        return
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if host not in (name.strip() for name in known.split(",")):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(name for name in (known, host) if name)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment puts before ``url``, without its password; None when it is reached directly."""
    parts, host = urlsplit(url), _host(url)
    if host is None or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return None if found is None else without_password(found)


def without_password(url: str) -> str:
    """``url`` as it may be shown."""
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.partition("/")[0].rpartition("@")
    if not separator or ":" not in user:
        return url
    return f"{scheme}://{user.partition(':')[0]}:***{at}{place}{rest[len(user + at + place) :]}"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
