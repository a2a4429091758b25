# SPDX-License-Identifier: Apache-2.0
"""Keystone and Heat as the conductor sees them, over HTTP, with the rules that matter here.

What Keystone 30 refuses is refused: application credentials and access rules to trusts, trusts to
application credentials' tokens, everything of others to everybody but administrators. Heat keeps a
trust per stack, and deletes it with the rights of whoever deletes the stack. It makes another one
when somebody else updates the stack, and fails where the former one's owner has lost his role.
"""

import dataclasses
import datetime
import json
import re
import threading
import urllib.parse
import uuid
from typing import Any

import fixtures

from tests.fakes import wire

PROJECT = "b" * 32
OTHER_PROJECT = "c" * 32
SERVICE_PROJECT = "d" * 32
OWNER, MEMBER, ADMIN, MAGNUM, HEAT = (name * 8 for name in ("0wne", "memb", "adm1", "magn", "heat"))


class RefusalError(Exception):
    """An answer of 400 or above."""

    def __init__(self, status: int, message: str = "no") -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass
class Token:
    """Whom a request comes from."""

    user: str
    project: str | None
    roles: tuple[str, ...]
    methods: tuple[str, ...] = ("password",)
    trust: str | None = None
    credential: str | None = None
    system: bool = False


@dataclasses.dataclass
class Stack:
    """One stack; a test moves its status."""

    id: str
    name: str
    project: str
    parameters: dict[str, Any]
    trust: str
    owner: str = ""
    changed_hands: bool = False
    status: str = "CREATE_IN_PROGRESS"
    reason: str = "Stack CREATE started"
    outputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    failed: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    # What the handles of wait conditions keep; nested stacks are the stack itself here.
    signals: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    deleted_by: Token | None = None
    updated: str | None = None
    updates: list[tuple[Token, dict[str, Any]]] = dataclasses.field(default_factory=list)
    # The template that came with each of them, if one did.
    renewed: list[Any] = dataclasses.field(default_factory=list)


class FakeCloud(fixtures.Fixture):
    """The services.

    :ivar url: of Keystone, without version.
    :ivar credentials, rules, trusts, stacks, ports: what exists, by id.
    :ivar users: names to ids; taking one out deletes the user with all that is his.
    :ivar without_roles: users who have lost their roles in the project.
    :ivar down: services that answer 503.
    :ivar said: what every error says besides.
    :ivar moods: how services answer that are unwell in other ways.
    :ivar further_endpoints: of services beside these, by type.
    :ivar service_is_admin: whether Magnum's user has the administrator's role.
    """

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.tokens: dict[str, Token] = {}
        self.without_roles: set[str] = set()
        self.users = {"magnum": MAGNUM, "demo": OWNER, "member": MEMBER, "admin": ADMIN}
        self.credentials: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.trusts: dict[str, dict[str, Any]] = {}
        self.stacks: dict[str, Stack] = {}
        self.ports: dict[str, dict[str, Any]] = {}
        self.down: set[str] = set()
        self.refused_updates = ""
        self.said = ""
        self.moods: dict[str, wire.Reply] = {}
        self.lost_answers: set[str] = set()
        self.further_endpoints: dict[str, str] = {}
        self.resolved = 0  # how often outputs of stacks were asked for
        self.collisions = 0  # creations of credentials that lose against another one
        self.service_is_admin = True
        self.requests: list[tuple[str, str]] = []
        self._lock = threading.RLock()
        server = self.useFixture(wire.JsonServer(self._reply))
        self.url = server.url

    def _reply(self, request: wire.Request) -> wire.Reply:
        service = "heat" if request.path.startswith("/heat") else "keystone"
        if service in self.moods:
            return self.moods[service]
        with self._lock:
            return self._answer(request.method, request.target, request.body or {}, request.headers)

    # Users

    def issue(self, token: Token) -> tuple[str, dict[str, Any]]:
        """Return a token's id and body."""
        identifier = uuid.uuid4().hex
        self.tokens[identifier] = token
        return identifier, self._body(token)

    def login(
        self, user: str, project: str = PROJECT, roles: tuple[str, ...] = ("member", "reader")
    ) -> tuple[str, dict[str, Any]]:
        """Return token id and body of a user who logged in with a password."""
        return self.issue(Token(user, project, roles))

    def remove_roles(self, user: str) -> None:
        """Take a user's roles in the project away as Keystone does: with his credentials there."""
        self.without_roles.add(user)
        for identifier in [i for i, c in self.credentials.items() if c["user"] == user]:
            del self.credentials[identifier]

    def remove_user(self, user: str) -> None:
        """Delete a user as Keystone does: with his credentials, rules and trusts."""
        self.users = {name: value for name, value in self.users.items() if value != user}
        for things in (self.credentials, self.rules):
            for identifier in [i for i, thing in things.items() if thing["user"] == user]:
                del things[identifier]
        for identifier in [
            i
            for i, t in self.trusts.items()
            if user in (t["trustor_user_id"], t["trustee_user_id"])
        ]:
            del self.trusts[identifier]

    def leftovers(self) -> dict[str, Any]:
        """Return everything that exists, empty where nothing does."""
        found = {
            "credentials": [c["name"] for c in self.credentials.values()],
            "rules": [rule["path"] for rule in self.rules.values()],
            "trusts": list(self.trusts.values()),
            "stacks": [s.name for s in self.stacks.values() if s.status != "DELETE_COMPLETE"],
        }
        return {kind: things for kind, things in found.items() if things}

    # Heat's progress

    def stack(self) -> Stack:
        """Return the only stack."""
        (stack,) = self.stacks.values()
        return stack

    def finish_deletes(self) -> None:
        """Let Heat finish all deletes."""
        for stack in self.stacks.values():
            if stack.status == "DELETE_IN_PROGRESS":
                stack.status = "DELETE_COMPLETE"
                self._delete_stack_trust(stack)

    def _delete_stack_trust(self, stack: Stack) -> None:
        trust = self.trusts.get(stack.trust)
        if trust is None or stack.deleted_by is None:
            return
        # Heat uses the request's rights when the trustor himself asks, and else its own.
        delegated = "application_credential" in stack.deleted_by.methods
        if stack.deleted_by.user == trust["trustor_user_id"] and delegated:
            return
        del self.trusts[stack.trust]

    # HTTP

    def _answer(
        self, method: str, target: str, body: dict[str, Any], headers: Any
    ) -> tuple[int, Any, dict[str, str]]:
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.requests.append((method, url.path))
        service = "heat" if url.path.startswith("/heat") else "keystone"
        if service in self.down:
            return 503, {"error": {"message": f"maintenance {self.said}"}}, {}
        try:
            if url.path in ("/", "/v3", "/v3/"):
                return 200, self._discovery(), {}
            if url.path == "/v3/auth/tokens" and method == "POST":
                identifier, answer = self.issue(self._authenticate(body["auth"]))
                return 201, answer, {"X-Subject-Token": identifier}
            token = self.tokens.get(headers.get("X-Auth-Token") or "")
            if token is None or not self._is_alive(token):
                raise RefusalError(401, "The request you have made requires authentication.")
            for expression, handler in self._routes(method):
                if match := re.fullmatch(expression, url.path):
                    status, answer = handler(token, body, query, *match.groups())
                    if method in self.lost_answers and service == "heat":
                        return 504, {"error": {"message": "gateway timed out"}}, {}
                    if status == 302:
                        return status, None, {"Location": answer}
                    return status, answer, {}
            raise AssertionError(f"{method} {target} is not known here")
        except RefusalError as refusal:
            message = f"{refusal} {self.said}".strip()
            return refusal.status, {"error": {"message": message, "code": refusal.status}}, {}

    def _routes(self, method: str) -> list[tuple[str, Any]]:
        user = r"/v3/users/(\w+)"
        stacks = r"/heat/v1/(\w+)/stacks"
        name = rf"{stacks}/([\w-]+)(?:/[\w-]+)?"
        routes: dict[str, list[tuple[str, Any]]] = {
            "GET": [
                (r"/network/v2.0/ports", self._list_ports),
                (rf"{user}/application_credentials", self._list_credentials),
                (rf"{user}/access_rules", self._list_rules),
                (r"/v3/OS-TRUST/trusts", self._list_trusts),
                (rf"{stacks}/([\w-]+)/resources", self._list_resources),
                (rf"{stacks}/([\w-]+)/resources/(\w+)", self._nested),
                (rf"{stacks}/([\w-]+)/resources/(\w+)/metadata", self._metadata),
                (rf"{stacks}/([\w-]+)", self._redirect),
                (rf"{stacks}/[\w-]+/([\w-]+)/resources", self._list_resources),
                (rf"{stacks}/[\w-]+/([\w-]+)/resources/(\w+)", self._nested),
                (rf"{stacks}/[\w-]+/([\w-]+)/resources/(\w+)/metadata", self._metadata),
                (rf"{stacks}/[\w-]+/([\w-]+)", self._show_stack),
            ],
            "PATCH": [(name, self._update_stack)],
            "POST": [
                (rf"{user}/application_credentials", self._create_credential),
                (r"/v3/OS-TRUST/trusts", self._create_trust),
                (r"/v3/users", self._create_user),
                (stacks, self._create_stack),
            ],
            "DELETE": [
                (r"/network/v2.0/ports/([\w-]+)", self._delete_port),
                (rf"{user}/application_credentials/(\w+)", self._delete_credential),
                (rf"{user}/access_rules/(\w+)", self._delete_rule),
                (r"/v3/OS-TRUST/trusts/(\w+)", self._delete_trust),
                (user, self._delete_user),
                (name, self._delete_stack),
            ],
        }
        return routes[method]

    # Neutron

    def _list_ports(self, token: Token, _: Any, query: Any) -> tuple[int, Any]:
        return 200, {
            "ports": [
                port
                for port in self.ports.values()
                if port["project"] == token.project
                and query["security_groups"] in port["security_groups"]
            ]
        }

    def _delete_port(self, token: Token, _: Any, __: Any, identifier: str) -> tuple[int, Any]:
        if self.ports[identifier]["project"] != token.project:
            raise RefusalError(404)
        del self.ports[identifier]
        return 204, None

    # Keystone

    def _discovery(self) -> dict[str, Any]:
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
            "media-types": [],
        }
        return {"versions": {"values": [version]}, "version": version}

    def _authenticate(self, auth: dict[str, Any]) -> Token:
        identity, scope = auth["identity"], auth.get("scope") or {}
        if "password" not in identity["methods"]:
            raise RefusalError(401)
        wanted = identity["password"]["user"]
        user = self.users.get(wanted.get("name"), wanted.get("id"))
        if user not in self.users.values():
            raise RefusalError(401, "no such user")
        if "OS-TRUST:trust" in scope:
            trust = self.trusts.get(scope["OS-TRUST:trust"]["id"])
            if trust is None:
                raise RefusalError(404, "Could not find trust.")
            if trust["trustee_user_id"] != user:
                raise RefusalError(403, "User is not a trustee.")
            if trust["trustor_user_id"] in self.without_roles:
                raise RefusalError(403, "Trust does not grant the roles any more.")
            roles = tuple(role["name"] for role in trust["roles"])
            return Token(trust["trustor_user_id"], trust["project_id"], roles, trust=trust["id"])
        if "domain" in scope:
            return Token(user, None, ("admin",))
        if "system" in scope:
            raise RefusalError(401, "no role on the system")
        roles = ("admin", "member", "reader") if self.service_is_admin else ("member", "reader")
        return Token(user, SERVICE_PROJECT, roles)

    def _is_alive(self, token: Token) -> bool:
        if token.user not in self.users.values() or token.user in self.without_roles:
            return False
        return token.trust is None or token.trust in self.trusts

    def _body(self, token: Token) -> dict[str, Any]:
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        project = token.project
        in_domain = {"id": project, "name": project, "domain": {"id": "default"}}
        endpoints = {
            "identity": f"{self.url}/v3",
            "orchestration": f"{self.url}/heat/v1/{project}",
            "container-infra": f"{self.url}/magnum/v1",
            "network": f"{self.url}/network",
            **self.further_endpoints,
        }
        body: dict[str, Any] = {
            "methods": list(token.methods),
            "user": {"id": token.user, "name": token.user, "domain": {"id": "default"}},
            **({"project": in_domain} if project else {"domain": in_domain["domain"]}),
            "roles": [{"id": role, "name": role} for role in token.roles],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
            "catalog": [
                {
                    "type": kind,
                    "name": kind,
                    "id": kind,
                    "endpoints": [
                        {
                            "interface": interface,
                            "url": url,
                            "region": "RegionOne",
                            "region_id": "RegionOne",
                            "id": kind + interface,
                        }
                        for interface in ("public", "internal")
                    ],
                }
                for kind, url in endpoints.items()
            ],
        }
        if token.trust:
            body["OS-TRUST:trust"] = {"id": token.trust, "impersonation": True}
        if token.credential:
            body["application_credential"] = {"id": token.credential, "name": "some"}
        return {"token": body}

    @staticmethod
    def _only(token: Token, user: str, *, admin: bool) -> None:
        if token.user != user and not (admin and "admin" in token.roles):
            raise RefusalError(403, "You are not authorized to perform the requested action.")

    def _list_credentials(self, token: Token, _: Any, query: Any, user: str) -> tuple[int, Any]:
        self._only(token, user, admin=True)
        if token.trust:
            raise RefusalError(403, "Cannot manage application credentials with delegation.")
        found = [
            credential
            for credential in self.credentials.values()
            if credential["user"] == user and query.get("name") in (None, credential["name"])
        ]
        return 200, {"application_credentials": found, "links": {}}

    def _create_credential(self, token: Token, body: Any, _: Any, user: str) -> tuple[int, Any]:
        self._only(token, user, admin=False)
        if token.trust or "application_credential" in token.methods:
            raise RefusalError(403, "Not allowed for managing additional application credentials.")
        wanted = body["application_credential"]
        if self.collisions:
            self.collisions -= 1
            raise RefusalError(409, "Duplicate entry.")
        if any(
            other["user"] == user and other["name"] == wanted["name"]
            for other in self.credentials.values()
        ):
            raise RefusalError(409, "Duplicate entry.")
        unknown = {role["name"] for role in wanted["roles"]} - set(token.roles)
        if unknown:
            raise RefusalError(400, f"unassigned role {unknown}")
        rules = [self._rule(user, rule) for rule in wanted.get("access_rules") or ()]
        made = {**wanted, "id": uuid.uuid4().hex, "user": user, "access_rules": rules}
        self.credentials[made["id"]] = made
        return 201, {"application_credential": {**made, "secret": uuid.uuid4().hex}}

    def _rule(self, user: str, wanted: dict[str, str]) -> dict[str, str]:
        for rule in self.rules.values():
            if rule["user"] == user and all(rule[key] == value for key, value in wanted.items()):
                return rule
        rule = {**wanted, "id": uuid.uuid4().hex, "user": user}
        self.rules[rule["id"]] = rule
        return rule

    def _delete_credential(
        self, token: Token, _: Any, __: Any, user: str, identifier: str
    ) -> tuple[int, Any]:
        self._only(token, user, admin=True)
        if token.trust or "application_credential" in token.methods:
            raise RefusalError(403, "Cannot manage application credentials with delegation.")
        if self.credentials.pop(identifier, None) is None:
            raise RefusalError(404)
        return 204, None

    def _list_rules(self, token: Token, _: Any, __: Any, user: str) -> tuple[int, Any]:
        self._only(token, user, admin=False)
        if token.trust:
            raise RefusalError(403, "Cannot manage application credentials with delegation.")
        found = [rule for rule in self.rules.values() if rule["user"] == user]
        return 200, {"access_rules": found, "links": {}}

    def _delete_rule(
        self, token: Token, _: Any, __: Any, user: str, identifier: str
    ) -> tuple[int, Any]:
        self._only(token, user, admin=False)
        if token.trust:
            raise RefusalError(403, "Cannot manage application credentials with delegation.")
        used = {rule["id"] for c in self.credentials.values() for rule in c["access_rules"]}
        if identifier in used:
            raise RefusalError(403, "May not delete access rule in use")
        if self.rules.pop(identifier, None) is None:
            raise RefusalError(404)
        return 204, None

    def _list_trusts(self, token: Token, _: Any, query: Any) -> tuple[int, Any]:
        self._only(token, query["trustor_user_id"], admin=True)
        found = [
            {key: value for key, value in trust.items() if key != "roles"}
            for trust in self.trusts.values()
            if trust["trustor_user_id"] == query["trustor_user_id"]
        ]
        return 200, {"trusts": found, "links": {}}

    def _create_trust(self, token: Token, body: Any, _: Any) -> tuple[int, Any]:
        wanted = body["trust"]
        if "application_credential" in token.methods:
            raise RefusalError(403, "Delegated tokens cannot manage trusts.")
        self._only(token, wanted["trustor_user_id"], admin=False)
        if wanted["trustee_user_id"] not in self.users.values():
            raise RefusalError(404)
        made = {**wanted, "id": uuid.uuid4().hex}
        self.trusts[made["id"]] = made
        return 201, {"trust": made}

    def _delete_trust(self, token: Token, _: Any, __: Any, identifier: str) -> tuple[int, Any]:
        trust = self.trusts.get(identifier)
        if trust is None:
            raise RefusalError(404)
        if "application_credential" in token.methods:
            raise RefusalError(403, "Delegated tokens cannot manage trusts.")
        self._only(token, trust["trustor_user_id"], admin=True)
        del self.trusts[identifier]
        return 204, None

    def _create_user(self, token: Token, body: Any, _: Any) -> tuple[int, Any]:
        # Up to Magnum 22 each cluster has a user of its own, whatever the driver.
        self._only(token, "", admin=True)
        made = {**body["user"], "id": uuid.uuid4().hex}
        self.users[made["name"]] = made["id"]
        return 201, {"user": made}

    def _delete_user(self, token: Token, _: Any, __: Any, user: str) -> tuple[int, Any]:
        self._only(token, "", admin=True)
        self.remove_user(user)
        return 204, None

    # Heat

    @staticmethod
    def _in_project(token: Token, project: str) -> None:
        if token.project != project and "admin" not in token.roles:
            raise RefusalError(403, "You are not authorized.")

    def _find(self, token: Token, identifier: str) -> Stack:
        for stack in self.stacks.values():
            visible = token.project == stack.project or "admin" in token.roles
            if stack.id == identifier and visible:
                return stack
            if (
                stack.name == identifier
                and token.project == stack.project
                and stack.status != "DELETE_COMPLETE"
            ):
                return stack
        raise RefusalError(404, f"The Stack ({identifier}) could not be found.")

    def _create_stack(self, token: Token, body: Any, _: Any, project: str) -> tuple[int, Any]:
        self._in_project(token, project)
        if "application_credential" in token.methods:
            raise RefusalError(500, "Heat could not make its trust")
        if any(
            s.name == body["stack_name"] and s.status != "DELETE_COMPLETE"
            for s in self.stacks.values()
        ):
            raise RefusalError(409, f"The Stack ({body['stack_name']}) already exists.")
        trust = self._heat_trust(token, project)
        stack = Stack(
            id=str(uuid.uuid4()),
            name=body["stack_name"],
            project=project,
            parameters=body["parameters"],
            trust=trust,
            owner=token.user,
        )
        self.stacks[stack.id] = stack
        return 201, {"stack": {"id": stack.id, "links": []}}

    def _heat_trust(self, token: Token, project: str) -> str:
        trust = uuid.uuid4().hex
        self.trusts[trust] = {
            "id": trust,
            "trustor_user_id": token.user,
            "trustee_user_id": HEAT,
            "project_id": project,
            "roles": [],
            "expires_at": None,
        }
        return trust

    def _change_hands(self, token: Token, stack: Stack) -> None:
        """Replace the stack's trust where it is not that of who makes the request."""
        if token.user == stack.owner or not stack.owner:
            return
        if token.trust:
            raise RefusalError(500, "RemoteError: a trust cannot make a trust")
        trust = self._heat_trust(token, stack.project)
        if stack.trust in self.trusts and stack.owner in self.without_roles:
            # The new one stays behind.
            raise RefusalError(500, "RemoteError: Forbidden")
        self.trusts.pop(stack.trust, None)
        stack.trust, stack.owner, stack.changed_hands = trust, token.user, True

    def _redirect(
        self, token: Token, _: Any, query: Any, project: str, identifier: str
    ) -> tuple[int, Any]:
        self._in_project(token, project)
        stack = self._find(token, identifier)
        more = f"?{urllib.parse.urlencode(query)}" if query else ""
        return 302, f"{self.url}/heat/v1/{project}/stacks/{stack.name}/{stack.id}{more}"

    def _show_stack(
        self, token: Token, _: Any, query: Any, project: str, identifier: str
    ) -> tuple[int, Any]:
        self._in_project(token, project)
        stack = self._find(token, identifier)
        self.resolved += query.get("resolve_outputs") != "False"
        outputs = [
            {"output_key": key, "output_value": value}
            for key, value in stack.outputs.items()
            if query.get("resolve_outputs") != "False"
        ]
        return 200, {
            "stack": {
                "id": stack.id,
                "stack_name": stack.name,
                "stack_status": stack.status,
                "stack_status_reason": stack.reason,
                "outputs": outputs,
                "updated_time": stack.updated,
                # Heat's API gives every value as text.
                "parameters": {name: _as_text(value) for name, value in stack.parameters.items()},
            }
        }

    def _update_stack(
        self, token: Token, body: Any, _: Any, project: str, identifier: str
    ) -> tuple[int, Any]:
        self._in_project(token, project)
        stack = self._find(token, identifier)
        if stack.status.endswith("_IN_PROGRESS"):
            raise AssertionError("a second update cuts the first off")
        if self.refused_updates:
            raise RefusalError(400, self.refused_updates)
        self._change_hands(token, stack)
        stack.updates.append((token, body["parameters"]))
        if stack.changed_hands and token.trust and "manager_count" in body["parameters"]:
            # A manager is a stack, and the stack that it is in has no trust any more.
            stack.parameters = {**stack.parameters, **body["parameters"]}
            stack.status = "UPDATE_FAILED"
            stack.reason = "Resource UPDATE failed: Remote error: Forbidden You are not authorized."
            stack.failed = [
                {
                    "resource_name": "3",
                    "resource_type": "Magnum::SwarmMode::Manager",
                    "physical_resource_id": "",
                    "resource_status": "CREATE_FAILED",
                    "resource_status_reason": "RemoteError: resources.3: Remote error: Forbidden "
                    "You are not authorized. ['Traceback (most recent call last):",
                    "updated_time": "2026-01-01T00:00:00Z",
                    "links": [
                        {"rel": "stack", "href": "http://heat/stacks/s-managers-nbqb5yuztfds/id"}
                    ],
                }
            ]
            stack.updated = f"2026-01-01T00:00:{len(stack.updates):02}Z"
            return 202, None
        stack.renewed.append(body.get("template"))
        stack.parameters = {**stack.parameters, **body["parameters"]}
        stack.status = "UPDATE_IN_PROGRESS"
        stack.updated = f"2026-01-01T00:00:{len(stack.updates):02}Z"
        return 202, None

    def _delete_stack(
        self, token: Token, _: Any, __: Any, project: str, identifier: str
    ) -> tuple[int, Any]:
        self._in_project(token, project)
        stack = self._find(token, identifier)
        if token.project == stack.project:
            self._change_hands(token, stack)
        stack.status, stack.deleted_by = "DELETE_IN_PROGRESS", token
        return 204, None

    def _list_resources(
        self, token: Token, _: Any, __: Any, project: str, identifier: str
    ) -> tuple[int, Any]:
        self._in_project(token, project)
        return 200, {"resources": self._find(token, identifier).failed}

    def _nested(
        self, token: Token, _: Any, __: Any, project: str, identifier: str, name: str
    ) -> tuple[int, Any]:
        stack = self._find(token, identifier)
        if not stack.signals:
            raise RefusalError(404)
        return 200, {"resource": {"resource_name": name, "physical_resource_id": stack.id}}

    def _metadata(
        self, token: Token, _: Any, __: Any, project: str, identifier: str, name: str
    ) -> tuple[int, Any]:
        stack = self._find(token, identifier)
        if name not in stack.signals:
            raise RefusalError(404)
        return 200, {"metadata": stack.signals[name]}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
