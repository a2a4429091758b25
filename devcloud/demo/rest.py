# SPDX-License-Identifier: Apache-2.0
"""A small client of OpenStack's REST APIs, for programs that may not need anything installed.

Errors::

    RestError                a service answered with a status of 400 or more
    UnreachableError         no answer at all
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT = 60.0  # seconds that one request may take


class RestError(Exception):
    """A service refused: ``status`` is HTTP's, ``body`` what it said."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{method} {url}: {status} {body[:500]}")


class UnreachableError(Exception):
    """Nobody answered at a service's address."""


def request(
    method: str,
    url: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> tuple[Any, Mapping[str, str]]:
    """Send one request; the decoded answer (JSON, else text) and its headers.

    :param timeout: seconds
    :raises RestError: a status of 400 or more
    :raises UnreachableError: no connection, or no answer in time
    """
    data = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(url, data=data, method=method)
    sent.add_header("Accept", "application/json")
    if data is not None:
        sent.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        sent.add_header(name, value)
    # The cloud is on this machine: a proxy for the outside must not be asked for it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sent, timeout=timeout) as answer:
            text = answer.read().decode(errors="replace")
            found = dict(answer.headers.items())
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise RestError(method, url, error.code, said) from error
    except (OSError, urllib.error.URLError) as error:
        raise UnreachableError(f"{method} {url}: {error}") from error
    try:
        return (json.loads(text) if text else None), found
    except ValueError:
        return text, found


class Cloud:
    """The services of one cloud as one user of one project sees them.

    :param environment: the usual OS_* variables (password authentication)
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._auth_url = environment["OS_AUTH_URL"].rstrip("/")
        if not self._auth_url.endswith("/v3"):
            self._auth_url += "/v3"
        self._region = environment.get("OS_REGION_NAME", "")
        self._auth = {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": environment["OS_USERNAME"],
                        "password": environment["OS_PASSWORD"],
                        "domain": {"name": environment.get("OS_USER_DOMAIN_NAME", "Default")},
                    }
                },
            },
            "scope": {
                "project": {
                    "name": environment["OS_PROJECT_NAME"],
                    "domain": {"name": environment.get("OS_PROJECT_DOMAIN_NAME", "Default")},
                }
            },
        }
        self._lock = threading.Lock()
        self._token = ""
        self._catalog: dict[str, str] = {}
        self.project_id = ""
        self.user_id = ""

    def authenticate(self) -> str:
        """Fetch a new token and the catalogue; the token.

        :raises RestError, UnreachableError: as :func:`request`
        """
        answer, headers = request("POST", f"{self._auth_url}/auth/tokens", {"auth": self._auth})
        token = answer["token"]
        self._catalog = {
            service["type"]: endpoint["url"].rstrip("/")
            for service in token["catalog"]
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
            and (not self._region or endpoint["region_id"] == self._region)
        }
        self._catalog["identity"] = self._auth_url
        self.project_id = token["project"]["id"]
        self.user_id = token["user"]["id"]
        self._token = next(v for k, v in headers.items() if k.lower() == "x-subject-token")
        return self._token

    @property
    def token(self) -> str:
        """A token of the user, fetched when it is first needed."""
        with self._lock:
            return self._token or self.authenticate()

    def endpoint(self, service: str) -> str:
        """Where a service's API is, without a slash at the end.

        :param service: its type in the catalogue, such as ``compute``
        :raises KeyError: the catalogue has no such service
        """
        assert self.token
        return self._catalog[service]

    def call(
        self,
        method: str,
        service: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What a service answers; a token that has expired is fetched anew once.

        :param path: what follows the service's address, beginning with a slash
        :raises RestError, UnreachableError: as :func:`request`
        """
        url = self.endpoint(service) + path
        try:
            return self._send(method, url, body, headers)
        except RestError as error:
            if error.status != 401:
                raise
        with self._lock:
            self.authenticate()
        return self._send(method, url, body, headers)

    def _send(self, method: str, url: str, body: object, headers: Mapping[str, str] | None) -> Any:
        everything = {"X-Auth-Token": self.token, **(headers or {})}
        return request(method, url, body, everything)[0]

    def get(self, service: str, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """What ``GET`` answers; see :meth:`call`."""
        return self.call("GET", service, path, headers=headers)

    def find(self, service: str, path: str) -> Any | None:
        """What ``GET`` answers, or None where nothing is; see :meth:`call`."""
        try:
            return self.get(service, path)
        except RestError as error:
            if error.status == 404:
                return None
            raise
