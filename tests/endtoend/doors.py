# SPDX-License-Identifier: Apache-2.0
"""Tries what was found on a machine against the cloud's services, as somebody who stole it."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from devcloud import settings
from devcloud.demo import rest
from tests.endtoend.loot import Loot

WIDTH = 6  # attempts at once
USERS = {  # name: domain
    "admin": "Default",
    "demo": "Default",
    "magnum": "Default",
    "heat_domain_admin": "heat",
    "magnum_domain_admin": "magnum",
}
TOKENS = f"{settings.AUTH_URL}/auth/tokens"


@dataclass(frozen=True)
class Opened:
    """An authentication that Keystone granted."""

    how: str  # "password" or "application credential"
    user_id: str
    user_domain: str
    secret: str
    ident: str  # of the user or of the application credential


def attempt(identity: Mapping[str, Any], scope: Mapping[str, Any] | None = None) -> str:
    """A token for an identity; empty where Keystone refuses.

    :raises rest.RestError: Keystone fails
    """
    auth: dict[str, Any] = {"identity": identity}
    if scope:
        auth["scope"] = scope
    try:
        _, headers = rest.request("POST", TOKENS, {"auth": auth})
    except rest.RestError as error:
        if error.status >= 500:
            raise
        return ""
    return next(value for name, value in headers.items() if name.lower() == "x-subject-token")


def password(user: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """An identity by password."""
    return {"methods": ["password"], "password": {"user": {**user, "password": secret}}}


def application_credential(ident: str, secret: str) -> dict[str, Any]:
    """An identity by application credential."""
    credential = {"id": ident, "secret": secret}
    return {"methods": ["application_credential"], "application_credential": credential}


def _attempts(loot: Loot) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for secret in sorted(loot.secrets):
        for ident in sorted(loot.idents):
            if ident == secret:
                continue
            if "-" not in ident:
                yield "password", ident, secret, password({"id": ident}, secret)
                identity = application_credential(ident, secret)
                yield "application credential", ident, secret, identity
        for name, domain in USERS.items():
            user = {"name": name, "domain": {"name": domain}}
            yield "password", name, secret, password(user, secret)


def try_keystone(loot: Loot) -> list[Opened]:
    """Try every identity with every secret as password and as application credential."""

    def one(tried: tuple[str, str, str, dict[str, Any]]) -> Opened | None:
        how, ident, secret, identity = tried
        token = attempt(identity)
        if not token:
            return None
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        user = rest.request("GET", TOKENS, headers=headers)[0]["token"]["user"]
        return Opened(how, user["id"], user["domain"]["name"], secret, ident)

    with ThreadPoolExecutor(WIDTH) as pool:
        return [opened for opened in pool.map(one, _attempts(loot)) if opened]


def status(method: str, url: str, token: str, body: object = None) -> int:
    """The status that a request with a token gets."""
    try:
        rest.request(method, url, body, {"X-Auth-Token": token} if token else {})
    except rest.RestError as error:
        return error.status
    return 200


def answer(url: str, token: str = "") -> str:
    """What a ``GET`` of any URL brings, refusals included; empty where nobody answers."""
    try:
        return str(rest.request("GET", url, None, {"X-Auth-Token": token}, timeout=10)[0])
    except rest.RestError as error:
        return error.body
    except (rest.UnreachableError, ValueError):
        return ""


def endpoints(cloud: rest.Cloud, services: Iterable[str]) -> dict[str, str]:
    """Where services are, by type."""
    return {service: cloud.endpoint(service) for service in services}
