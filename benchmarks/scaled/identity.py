# SPDX-License-Identifier: Apache-2.0
"""Keystone as Magnum and Heat see it: whoever asks may do anything, and is told who he is."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.scaled.wire import Answer, Request

OWNER, PROJECT, SERVICE = "0wne" * 8, "b" * 32, "d" * 32
STACK_DOMAIN = "heat-domain"
_USERS = {"magnum": "magn" * 8, "heat": "heat" * 8, "heat_domain_admin": "hdad" * 8, "demo": OWNER}
_ENDS = "2099-01-01T00:00:00.000000Z"


@dataclass(frozen=True)
class Token:
    """Whom a request comes from."""

    user: str
    project: str = ""
    domain: str = ""
    roles: tuple[str, ...] = ("member", "reader", "admin")
    trust: str = ""


class Identity:
    """What exists, and who has a token.

    :param url: of Keystone, with version.
    :param endpoints: of each type of service, ``%p`` being the project.
    :ivar things: collection to what is in it, by id.
    """

    def __init__(self, url: str, endpoints: dict[str, str]) -> None:
        self._url, self._endpoints = url, endpoints
        self.tokens: dict[str, Token] = {}
        self.things: dict[str, dict[str, dict[str, Any]]] = {
            name: {}
            for name in ("users", "projects", "trusts", "credentials", "application_credentials")
        }
        self._routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("POST", r"/auth/tokens", self._log_in),
            ("GET", r"/auth/tokens", self._validate),
            ("GET", r"/roles", self._roles),
            ("PUT", r"/projects/[^/]+/users/[^/]+/roles/[^/]+", lambda *_: Answer(204)),
            ("GET", r"/users/[^/]+/access_rules", lambda *_: Answer(200, {"access_rules": []})),
            ("POST", r"/users/([^/]+)/(application_credentials)", self._create_credential),
            ("GET", r"/users/([^/]+)/(application_credentials)", self._list_credentials),
            ("DELETE", r"/users/[^/]+/(application_credentials)/([^/]+)", self._delete),
            ("POST", r"/(?:OS-TRUST/)?(trusts|users|projects|credentials)", self._create),
            ("GET", r"/OS-TRUST/(trusts)", self._list),
            ("GET", r"/(?:OS-TRUST/)?(trusts|users|projects|credentials)/([^/]+)", self._show),
            ("DELETE", r"/(?:OS-TRUST/)?(trusts|users|projects|credentials)/([^/]+)", self._delete),
        ]

    def answer(self, request: Request) -> Answer:
        """Answer a request to version 3."""
        if request.path in ("", "/"):
            links = [{"rel": "self", "href": f"{self._url}/"}]
            version = {"id": "v3.14", "status": "stable", "links": links, "media-types": []}
            return Answer(200, {"version": version, "versions": {"values": [version]}})
        for method, pattern, handler in self._routes:
            if method == request.method and (match := re.fullmatch(pattern, request.path)):
                return handler(request, *match.groups())
        return Answer(404, {"error": {"message": f"{request.method} {request.path}", "code": 404}})

    def issue(self, token: Token) -> str:
        """Return the id of a new token."""
        identifier = uuid.uuid4().hex
        self.tokens[identifier] = token
        return identifier

    def _log_in(self, request: Request) -> Answer:
        auth = request.body["auth"]
        scope = auth.get("scope") or {}
        given = auth["identity"].get("password", {}).get("user", {})
        user = given.get("id") or _USERS.get(given.get("name"), "")
        if "token" in auth["identity"]:
            user = self.tokens[auth["identity"]["token"]["id"]].user
        if "OS-TRUST:trust" in scope:
            trust = self.things["trusts"][scope["OS-TRUST:trust"]["id"]]
            token = Token(trust["trustor_user_id"], trust["project_id"], trust=trust["id"])
        elif "domain" in scope:
            token = Token(user, domain=STACK_DOMAIN)
        elif user in self.things["users"]:
            project = self.things["users"][user]["default_project_id"]
            token = Token(user, project, roles=("heat_stack_user",))
        else:
            token = Token(user, PROJECT if user == OWNER else SERVICE)
        identifier = self.issue(token)
        return Answer(201, self.describe(token), {"X-Subject-Token": identifier})

    def _validate(self, request: Request) -> Answer:
        token = self.tokens.get(request.headers.get("x-subject-token", ""))
        return Answer(200, self.describe(token)) if token else Answer(404, {"error": {}})

    def describe(self, token: Token) -> dict[str, Any]:
        """Return a token as Keystone shows it."""
        domain = {"id": "default", "name": "Default"}
        if token.domain or token.user in self.things["users"]:
            domain = {"id": STACK_DOMAIN, "name": "heat"}
        project = {"id": token.project, "name": token.project, "domain": domain}
        body: dict[str, Any] = {
            "methods": ["password"],
            "user": {"id": token.user, "name": token.user, "domain": domain},
            **({"domain": domain} if token.domain else {"project": project}),
            "roles": [{"id": role, "name": role} for role in token.roles],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": _ENDS,
            "catalog": [
                {
                    "type": kind,
                    "name": kind,
                    "id": kind,
                    "endpoints": [
                        {
                            "interface": interface,
                            "url": url.replace("%p", token.project),
                            "region": "RegionOne",
                            "region_id": "RegionOne",
                            "id": f"{kind}-{interface}",
                        }
                        for interface in ("public", "internal", "admin")
                    ],
                }
                for kind, url in self._endpoints.items()
            ],
        }
        if token.trust:
            trust = self.things["trusts"][token.trust]
            body["OS-TRUST:trust"] = {
                "id": token.trust,
                "impersonation": True,
                "trustor_user": {"id": trust["trustor_user_id"]},
                "trustee_user": {"id": trust["trustee_user_id"]},
            }
        return {"token": body}

    @staticmethod
    def _roles(request: Request) -> Answer:
        names = request.query.get("name") or ["member"]
        return Answer(200, {"roles": [{"id": name, "name": name} for name in names], "links": {}})

    def _create(self, request: Request, kind: str) -> Answer:
        ((singular, given),) = request.body.items()
        made = {**given, "id": uuid.uuid4().hex}
        self.things[kind][made["id"]] = made
        return Answer(201, {singular: made})

    def _list(self, request: Request, kind: str) -> Answer:
        wanted = {name: values[-1] for name, values in request.query.items()}
        found = [
            thing
            for thing in self.things[kind].values()
            if all(str(thing.get(name)) == value for name, value in wanted.items())
        ]
        return Answer(200, {kind: found, "links": {}})

    def _show(self, _: Request, kind: str, identifier: str) -> Answer:
        found = self.things[kind].get(identifier)
        return Answer(200, {kind.removesuffix("s"): found}) if found else Answer(404, {"error": {}})

    def _delete(self, _: Request, kind: str, identifier: str) -> Answer:
        found = self.things[kind].pop(identifier, None)
        return Answer(204) if found else Answer(404, {"error": {}})

    def _create_credential(self, request: Request, user: str, kind: str) -> Answer:
        made = {**request.body["application_credential"], "id": uuid.uuid4().hex, "user": user}
        self.things[kind][made["id"]] = made
        shown = {**made, "access_rules": [], "secret": uuid.uuid4().hex}
        return Answer(201, {"application_credential": shown})

    def _list_credentials(self, request: Request, user: str, kind: str) -> Answer:
        names = request.query.get("name")
        found = [
            thing
            for thing in self.things[kind].values()
            if thing["user"] == user and (not names or thing["name"] in names)
        ]
        return Answer(200, {kind: found, "links": {}})
