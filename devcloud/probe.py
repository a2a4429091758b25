# SPDX-License-Identifier: Apache-2.0
"""Asks each API one question that only a working service answers.

A service that merely answers ``GET /`` may still lack its database, its policies or Keystone. The
first request also makes several of them load their policies, which two threads at once do badly
(seen with Neutron 29: an administrator's list came back empty): so nobody else is first.
"""

import http.client
import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from devcloud import settings
from devcloud.errors import DevcloudError

# Short: a call that an API sent before its engine listened is never answered, the next one is.
_REQUEST_SECONDS = 8
_DEADLINE_SECONDS = 90
_PAUSE_SECONDS = 0.5
QUESTIONS = {  # service: (port, path); {project} is the project's id
    "cinder-api": (settings.CINDER_PORT, "/v3/{project}/volumes?limit=1"),
    "glance": (settings.GLANCE_PORT, "/v2/images?limit=1"),
    "horizon": (settings.HORIZON_PORT, "/auth/login/"),
    "heat-api": (settings.HEAT_PORT, "/v1/{project}/stacks?limit=1"),
    "magnum-api": (settings.MAGNUM_PORT, "/v1/clusters?limit=1"),
    "neutron": (settings.NEUTRON_PORT, "/v2.0/networks?limit=1"),
    "nova-api": (settings.NOVA_PORT, "/v2.1/servers?limit=1"),
    "placement": (settings.PLACEMENT_PORT, "/resource_providers"),
}


@dataclass(frozen=True)
class Login:
    """A token of the administrator and the project it is for."""

    token: str
    project: str


def login_body(password: str) -> str:
    """The administrator's request for a token (Identity API v3)."""
    domain = {"id": "default"}
    user = {"name": "admin", "domain": domain, "password": password}
    return json.dumps(
        {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
    )


def log_in(password: str) -> Login:
    """Get a token as the administrator.

    :raises DevcloudError: Keystone does not give one.
    """
    connection = _connect(settings.KEYSTONE_PORT)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v3/auth/tokens", login_body(password), headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise DevcloudError(f"keystone does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.CREATED:
        raise DevcloudError(f"keystone answers {answer.status} to the administrator's password")
    project = json.loads(body)["token"]["project"]["id"]
    return Login(answer.headers["X-Subject-Token"], project)


def ask(names: Iterable[str], login: Login) -> list[DevcloudError]:
    """Ask those of the named services that have a question; return what went wrong."""
    asked = {name: QUESTIONS[name] for name in names if name in QUESTIONS}
    if not asked:
        return []
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        errors = pool.map(lambda name: _ask(name, asked[name], login), asked)
        return [error for error in errors if error]


def _ask(name: str, question: tuple[int, str], login: Login) -> DevcloudError | None:
    port, path = question[0], question[1].format(project=login.project)
    headers = {"X-Auth-Token": login.token, "Accept": "application/json"}
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        answer = _status(port, path, headers)
        if answer == str(int(http.HTTPStatus.OK)):
            return None
        if time.monotonic() > deadline:
            log = settings.LOG / f"{name}.log"
            return DevcloudError(f"{name} answers {answer} to GET {path}; see {log}")
        time.sleep(_PAUSE_SECONDS)


def _status(port: int, path: str, headers: Mapping[str, str]) -> str:
    connection = _connect(port)
    try:
        connection.request("GET", path, headers=dict(headers))
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return f"nothing ({error})"
    finally:
        connection.close()


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(settings.HOST_ADDRESS, port, timeout=_REQUEST_SECONDS)
