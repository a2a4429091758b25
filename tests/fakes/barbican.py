# SPDX-License-Identifier: Apache-2.0
"""Barbican as the conductor sees it, over HTTP: secrets and containers of the project that asks.

As Barbican's own rules have it, a member of another project sees nothing of them.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any

import fixtures

from tests.fakes import wire


class FakeBarbican(fixtures.Fixture):
    """The service.

    :param project_of: returns the project of a token, None for a token that is none.
    :ivar url: of its endpoint.
    :ivar secrets, containers: what there is, by id.
    :ivar is_down: whether it answers 503.
    :ivar is_silent: whether it answers after longer than any deadline of a test.
    :ivar projects: those that asked for anything.
    """

    def __init__(self, project_of: Callable[[str], str | None]) -> None:
        self._project_of = project_of

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.secrets: dict[str, dict[str, Any]] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.is_down = self.is_silent = False
        self.projects: set[str] = set()
        self.url = self.useFixture(wire.JsonServer(self._reply)).url

    def payloads(self, *names: str) -> list[str]:
        """Return what the secrets of some names keep."""
        return [one["payload"] for one in self.secrets.values() if one["name"] in names]

    def _version(self) -> dict[str, Any]:
        return {
            "id": "v1",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": "1.1",
            "links": [{"rel": "self", "href": f"{self.url}/v1/"}],
            "media-types": [],
        }

    def _reply(self, request: wire.Request) -> wire.Reply:
        if self.is_down or self.is_silent:
            return wire.Mood.MAINTENANCE if self.is_down else wire.Mood.SLOW
        if request.path == "/v1/":
            return 200, {"version": self._version()}, {}
        if request.path == "/":
            return 300, {"versions": [self._version()]}, {}
        project = self._project_of(request.headers.get("X-Auth-Token") or "")
        if project is None:
            return 401, {"title": "Unauthorized"}, {}
        self.projects.add(project)
        found = re.fullmatch(r"/v1/(secrets|containers)(?:/([\w-]+))?(/payload)?", request.path)
        if not found:
            return 404, {"title": "Not Found"}, {}
        kind, ident, payload = found.groups()
        things = getattr(self, kind)
        if request.method == "POST":
            ident = str(uuid.uuid4())
            things[ident] = {**request.body, "project": project}
            return 201, {f"{kind[:-1]}_ref": f"{self.url}/v1/{kind}/{ident}"}, {}
        thing = things.get(ident)
        if thing is None:
            return 404, {"title": "Not Found", "code": 404}, {}
        if thing["project"] != project:
            return 403, {"title": "Forbidden", "code": 403}, {}
        if request.method == "DELETE":
            del things[ident]
            return 204, None, {}
        if payload:
            return 200, thing["payload"].encode(), {"Content-Type": "text/plain"}
        told = {name: value for name, value in thing.items() if name not in ("payload", "project")}
        told[f"{kind[:-1]}_ref"] = f"{self.url}/v1/{kind}/{ident}"
        if kind == "secrets":
            told["content_types"] = {"default": "text/plain"}
        return 200, told, {}
