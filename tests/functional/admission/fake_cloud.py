# SPDX-License-Identifier: Apache-2.0
"""What Magnum's API asks of Keystone, Glance, Nova and Neutron, answered over HTTP."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import urllib.parse
import uuid
from typing import Any

import fixtures

PROJECT = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a001"
USER = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a002"
IMAGE = "11111111-1111-4111-8111-111111111111"
NETWORK = "22222222-2222-4222-8222-222222222222"
SUBNET = "33333333-3333-4333-8333-333333333333"
PUBLIC = "44444444-4444-4444-8444-444444444444"


class FakeCloud(fixtures.Fixture):
    """An HTTP server with a demo project, three images, two flavors and two networks.

    :ivar url: where it listens.
    """

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.tokens: dict[str, dict[str, Any]] = {}
        # Tokens that this Keystone lets deal with no trusts.
        self.without_trusts: set[str] = set()
        self.images = [
            image("ubuntu_xenial", IMAGE, os_distro="ubuntu"),
            image("debian", str(uuid.uuid4()), os_distro="debian"),
            image("fedora", str(uuid.uuid4()), os_distro="fedora-coreos"),
            image("nameless", str(uuid.uuid4())),
            image("capi", str(uuid.uuid4()), os_distro="ubuntu", magnum_driver="k8s_other"),
            image("ours", str(uuid.uuid4()), os_distro="ubuntu", magnum_driver="swarm_mode"),
        ]
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                status, body, headers = cloud.answer(
                    self.command, url.path, query, dict(self.headers)
                )
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _serve  # noqa: N815 (http.server)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.addCleanup(server.server_close)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.token("demo")
        self.token("magnum", roles=("service",))

    def token(
        self,
        name: str,
        roles: tuple[str, ...] = ("member", "reader"),
        application_credential: dict[str, Any] | None = None,
    ) -> str:
        """Issue a token; what is given is what Keystone would put into it."""
        self.tokens[name] = {
            "methods": ["application_credential" if application_credential else "password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {
                "id": USER,
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
                "password_expires_at": None,
            },
            "project": {
                "id": PROJECT,
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
            },
            "roles": [{"id": role, "name": role} for role in roles],
            "audit_ids": [name],
            "catalog": [
                self._service("identity", "/v3"),
                self._service("image", "/image"),
                self._service("compute", "/compute/v2.1"),
                self._service("network", "/network"),
                self._service("container-infra", "/v1"),
            ],
        }
        if application_credential:
            self.tokens[name]["application_credential"] = application_credential
        return name

    def _service(self, kind: str, path: str) -> dict[str, Any]:
        return {
            "id": kind,
            "type": kind,
            "name": kind,
            "endpoints": [
                {
                    "id": f"{kind}-{interface}",
                    "interface": interface,
                    "region": "RegionOne",
                    "region_id": "RegionOne",
                    "url": self.url + path,
                }
                for interface in ("public", "internal", "admin")
            ],
        }

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers for a request."""
        if path.rstrip("/") == "/v3/auth/tokens":
            subject = "magnum" if method == "POST" else headers.get("X-Subject-Token", "")
            if subject not in self.tokens:
                return 404, {"error": {"code": 404, "message": "no such token"}}, {}
            return (
                201 if method == "POST" else 200,
                {"token": self.tokens[subject]},
                {"X-Subject-Token": subject},
            )
        if path == "/v3/OS-TRUST/trusts" and headers.get("X-Auth-Token") in self.without_trusts:
            return 403, {"error": {"code": 403, "message": "Delegated tokens"}}, {}
        for pattern, reply in self._routes(query):
            if match := re.fullmatch(pattern, path.rstrip("/")):
                with contextlib.suppress(LookupError):
                    return 200, reply(*match.groups()), {}
        return 404, {"message": f"{method} {path} is unknown here"}, {}

    def _routes(self, query: dict[str, str]) -> list[tuple[str, Any]]:
        networks = [
            network("private", NETWORK, False, [SUBNET]),
            network("public", PUBLIC, True, [str(uuid.uuid4())]),
        ]
        external = query.get("router:external")
        subnets = [
            {
                "id": SUBNET,
                "name": "private-subnet",
                "network_id": NETWORK,
                "cidr": "10.0.0.0/24",
                "ip_version": 4,
                "gateway_ip": "10.0.0.1",
                "dns_nameservers": [],
                "enable_dhcp": True,
            }
        ]

        def only(items: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
            return [
                item
                for item in items
                if all(item[name] == query[name] for name in names if name in query)
            ]

        def one(items: list[dict[str, Any]], ident: str) -> dict[str, Any]:
            return {item["id"]: item for item in items}[ident]

        flavors = [
            {"id": str(i), "name": name, "ram": 2048, "vcpus": 1, "disk": 20, "links": []}
            for i, name in enumerate(("m1.small", "m1.medium"))
        ]
        return [
            (
                rf"/v3/users/{USER}/application_credentials",
                lambda: {"application_credentials": []},
            ),
            (r"/v3/OS-TRUST/trusts", lambda: {"trusts": []}),
            (r"/v3", lambda: {"version": version(self.url + "/v3/", "v3.14")}),
            (r"/image", lambda: {"versions": [version(self.url + "/image/v2/", "v2.9")]}),
            # glanceclient, which Magnum used up to 22, asks for it.
            (
                r"/image/v2/schemas/image",
                lambda: {"name": "image", "properties": {}, "additionalProperties": True},
            ),
            (r"/image/v2/images", lambda: {"images": only(self.images, "name")}),
            (r"/image/v2/images/([^/]+)", lambda ident: one(self.images, ident)),
            (
                r"/compute/v2.1",
                lambda: {
                    "version": version(self.url + "/compute/v2.1/", "v2.1")
                    | {"version": "2.96", "min_version": "2.1"}
                },
            ),
            (r"/compute/v2.1/flavors(?:/detail)?", lambda: {"flavors": flavors}),
            (
                r"/compute/v2.1/os-keypairs/fuel",
                lambda: {"keypair": {"name": "fuel", "public_key": "ssh-ed25519 AAAA"}},
            ),
            (r"/network", lambda: {"versions": [version(self.url + "/network/v2.0/", "v2.0")]}),
            (
                r"/network/v2.0/networks",
                lambda: {
                    "networks": [
                        n
                        for n in only(networks, "name", "id")
                        if external is None or n["router:external"] is (external == "True")
                    ]
                },
            ),
            (r"/network/v2.0/networks/([^/]+)", lambda i: {"network": one(networks, i)}),
            (
                r"/network/v2.0/subnets",
                lambda: {"subnets": only(subnets, "name", "id", "network_id")},
            ),
            (r"/network/v2.0/subnets/([^/]+)", lambda i: {"subnet": one(subnets, i)}),
        ]


def image(name: str, ident: str, **properties: str) -> dict[str, Any]:
    """Return an image as Glance shows it."""
    return {
        "id": ident,
        "name": name,
        "status": "active",
        "visibility": "public",
        "container_format": "bare",
        "disk_format": "raw",
        "min_disk": 0,
        "min_ram": 0,
        "size": 1,
        **properties,
    }


def network(name: str, ident: str, external: bool, subnets: list[str]) -> dict[str, Any]:
    """Return a network as Neutron shows it."""
    return {
        "id": ident,
        "name": name,
        "status": "ACTIVE",
        "admin_state_up": True,
        "router:external": external,
        "shared": external,
        "mtu": 1450,
        "subnets": subnets,
        "project_id": PROJECT,
    }


def version(url: str, name: str) -> dict[str, Any]:
    """Return an entry of a service's version document."""
    return {"id": name, "status": "CURRENT", "links": [{"rel": "self", "href": url}]}
