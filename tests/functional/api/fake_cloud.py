# SPDX-License-Identifier: Apache-2.0
"""What Magnum's API asks of Keystone, Glance, Nova, Neutron, Cinder and Heat, over HTTP."""

from __future__ import annotations

import contextlib
import re
import urllib.parse
import uuid
from typing import Any

import fixtures

from tests.fakes import wire

PROJECT = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a001"
USER = "5a2c4dc7ad0b4d6fb2b8d0c9b1d2a002"
IMAGE = "11111111-1111-4111-8111-111111111111"
NETWORK = "22222222-2222-4222-8222-222222222222"
SUBNET = "33333333-3333-4333-8333-333333333333"
PUBLIC = "44444444-4444-4444-8444-444444444444"
ROUTER = "55555555-5555-4555-8555-555555555555"


class FakeCloud(fixtures.Fixture):
    """Services with a demo project, some images and flavors, two networks and quotas.

    Tests change what they hold; :meth:`reset` brings everything back.

    :ivar url: where they listen.
    :ivar moods: how services that are not well answer, by type.
    :ivar unreachable: services where nobody listens; they are in catalogues of later tokens.
    :ivar absent: services that catalogues of later tokens lack.
    :ivar denied: services that answer 403.
    """

    def _setUp(self) -> None:  # noqa: N802 (fixtures)
        self.reset()
        server = self.useFixture(wire.JsonServer(self.answer))
        self.url = server.url
        self.token("demo")
        self.token("magnum", roles=("service",))

    def reset(self) -> None:
        """Make everything as it was in the beginning."""
        self.tokens: dict[str, dict[str, Any]] = getattr(self, "tokens", {})
        # What was asked for that changes something: method and path.
        self.changes: list[tuple[str, str]] = []
        self.moods: dict[str, wire.Mood] = {}
        # Tokens whose project is gone, which Magnum's middleware still takes from its cache.
        self.orphans: set[str] = set()
        self.unreachable: set[str] = set()
        self.absent: set[str] = set()
        self.denied: set[str] = set()
        # Tokens that this Keystone lets deal with no trusts.
        self.without_trusts: set[str] = set()
        self.images = [
            image("ubuntu_xenial", IMAGE, os_distro="ubuntu"),
            image("debian", str(uuid.uuid4()), os_distro="debian"),
            image("fedora", str(uuid.uuid4()), os_distro="fedora-coreos"),
            image("nameless", str(uuid.uuid4())),
            image("capi", str(uuid.uuid4()), os_distro="ubuntu", magnum_driver="k8s_other"),
            image("ours", str(uuid.uuid4()), os_distro="ubuntu", magnum_driver="swarm_mode"),
            image("twin", str(uuid.uuid4()), os_distro="ubuntu"),
            image("twin", str(uuid.uuid4()), os_distro="ubuntu"),
            image("queued", str(uuid.uuid4()), os_distro="ubuntu", status="queued"),
            image("large", str(uuid.uuid4()), os_distro="ubuntu", min_disk=40),
            image("hungry", str(uuid.uuid4()), os_distro="ubuntu", min_ram=4096),
        ]
        self.flavors = [
            {"id": str(i), "name": name, "ram": 2048, "vcpus": 2, "disk": disk, "links": []}
            for i, (name, disk) in enumerate(
                (("m1.small", 20), ("m1.medium", 20), ("diskless", 0)), start=1
            )
        ]
        self.networks: list[Any] = [
            network("private", NETWORK, False, [SUBNET]),
            network("public", PUBLIC, True, [str(uuid.uuid4())]),
        ]
        self.subnets: list[Any] = [subnet("private-subnet", SUBNET, NETWORK)]
        self.routers: list[Any] = [
            {"id": ROUTER, "name": "router", "external_gateway_info": {"network_id": PUBLIC}}
        ]
        self.ports = [port(NETWORK, SUBNET, "10.0.0.1", "network:router_interface", ROUTER)]
        self.zones = {"nova": True, "under-repair": False}
        self.volume_types = ["__DEFAULT__", "fast"]
        self.keypairs = {"fuel"}
        self.compute_limits = {
            "maxTotalInstances": 100,
            "totalInstancesUsed": 6,
            "maxTotalCores": 200,
            "totalCoresUsed": 12,
            "maxTotalRAMSize": -1,
            "totalRAMUsed": 12288,
            "maxServerGroups": 10,
            "totalServerGroupsUsed": 2,
            "maxServerGroupMembers": 10,
        }
        self.volume_limits = {
            "maxTotalVolumes": 100,
            "totalVolumesUsed": 1,
            "maxTotalVolumeGigabytes": 1000,
            "totalGigabytesUsed": 10,
        }
        # Cinder's quotas by type, None where it does not show them.
        self.volume_quota: Any = {
            "volumes_fast": {"limit": 20, "in_use": 2, "reserved": 0},
            "gigabytes_fast": {"limit": -1, "in_use": 0, "reserved": 0},
            "per_volume_gigabytes": {"limit": -1, "in_use": 0, "reserved": 0},
        }
        # Heat's: how many stacks a project may have, of which it has two, and resources a stack.
        self.stack_limits = {"stacks": 512, "resources": 1000}
        self.network_quota: Any = {
            name: {"limit": 100, "used": 10, "reserved": 0}
            for name in (
                *("floatingip", "port", "network", "subnet", "router"),
                *("security_group", "security_group_rule"),
            )
        }

    def token(
        self,
        name: str,
        roles: tuple[str, ...] = ("member", "reader"),
        application_credential: dict[str, Any] | None = None,
        project: str = PROJECT,
        user: str = USER,
    ) -> str:
        """Issue a token; what is given is what Keystone would put into it."""
        self.tokens[name] = {
            "methods": ["application_credential" if application_credential else "password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {
                "id": user,
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
                "password_expires_at": None,
            },
            "project": {
                "id": project,
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
                self._service("block-storage", f"/volume/v3/{PROJECT}"),
                self._service("orchestration", f"/heat/v1/{PROJECT}"),
                self._service("container-infra", "/v1"),
            ],
        }
        catalog = self.tokens[name]["catalog"]
        self.tokens[name]["catalog"] = [s for s in catalog if s["type"] not in self.absent]
        if application_credential:
            self.tokens[name]["application_credential"] = application_credential
        return name

    def _quota(self) -> Any:
        if self.network_quota is None:
            raise LookupError
        return self.network_quota

    def _volume_quota(self) -> Any:
        if self.volume_quota is None:
            raise LookupError
        return {"id": PROJECT, **self.volume_quota}

    def _preview(self, template: dict[str, Any]) -> wire.Reply:
        """Heat's answer to the preview of a stack that has no name."""
        kind, message = "StackValidationFailed", "Invalid stack name 0 must contain only …"
        if self.stack_limits["stacks"] <= 2:
            kind = "RequestLimitExceeded"
            message = "Request limit exceeded: You have reached the maximum stacks per tenant, 2. "
            message += "Please delete some stacks."
        elif len(template["resources"]) > self.stack_limits["resources"]:
            kind = "RequestLimitExceeded"
            message = "Request limit exceeded: Maximum resources per stack exceeded."
        error = {"type": kind, "traceback": None, "message": message}
        return 400, {"code": 400, "title": "Bad Request", "error": error}, {}

    def _keypair(self, name: str) -> str:
        if name not in self.keypairs:
            raise LookupError(name)
        return name

    def _service(self, kind: str, path: str) -> dict[str, Any]:
        # Nothing listens on port 9, "discard".
        base = "http://127.0.0.1:9" if kind in self.unreachable else self.url
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
                    "url": base + path,
                }
                for interface in ("public", "internal", "admin")
            ],
        }

    def answer(self, request: wire.Request) -> wire.Reply:
        """Return the reply to a request."""
        path, headers = request.path, request.headers
        if path.rstrip("/") == "/v3/auth/tokens":
            posted = request.method == "POST"
            subject = "magnum" if posted else headers.get("X-Subject-Token", "")
            if subject not in self.tokens:
                return 404, {"error": {"code": 404, "message": "no such token"}}, {}
            return (
                201 if posted else 200,
                {"token": self.tokens[subject]},
                {"X-Subject-Token": subject},
            )
        if headers.get("X-Auth-Token") in self.orphans:
            if path.startswith("/v3"):
                return 404, {"error": {"code": 404, "message": "Could not find project."}}, {}
            return 401, {"error": {"code": 401, "message": "Unauthorized"}}, {}
        preview = path == f"/heat/v1/{PROJECT}/stacks/preview"
        if request.method != "GET" and not preview:
            self.changes.append((request.method, path))
        kind = next((k for k, prefix in _PREFIXES.items() if path.startswith(prefix)), "")
        if kind in self.moods:
            return self.moods[kind]
        if kind in self.denied:
            return 403, {"forbidden": {"code": 403, "message": "Policy doesn't allow it."}}, {}
        if path == "/v3/OS-TRUST/trusts" and headers.get("X-Auth-Token") in self.without_trusts:
            return 403, {"error": {"code": 403, "message": "Delegated tokens"}}, {}
        if preview:
            return self._preview(request.body["template"])
        for pattern, reply in self._routes(request.query):
            if match := re.fullmatch(pattern, urllib.parse.unquote(path).rstrip("/")):
                with contextlib.suppress(LookupError):
                    return 200, reply(*match.groups()), {}
        return 404, {"message": f"{request.method} {path} is unknown here"}, {}

    def _routes(self, query: dict[str, str]) -> list[tuple[str, Any]]:
        external = query.get("router:external")

        def only(items: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
            return [
                item
                for item in items
                if all(item[name] == query[name] for name in names if name in query)
            ]

        def one(items: list[dict[str, Any]], ident: str) -> dict[str, Any]:
            return {item["id"]: item for item in items}[ident]

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
            (r"/compute/v2.1/flavors(?:/detail)?", lambda: {"flavors": self.flavors}),
            (
                r"/compute/v2.1/os-keypairs/(.+)",
                lambda name: {"keypair": {"name": self._keypair(name), "public_key": "ssh-…"}},
            ),
            (r"/compute/v2.1/limits", lambda: {"limits": {"absolute": self.compute_limits}}),
            (
                r"/compute/v2.1/os-availability-zone",
                lambda: {
                    "availabilityZoneInfo": [
                        {"zoneName": name, "zoneState": {"available": there}, "hosts": None}
                        for name, there in self.zones.items()
                    ]
                },
            ),
            (
                rf"/volume/v3/{PROJECT}/limits",
                lambda: {"limits": {"absolute": self.volume_limits, "rate": []}},
            ),
            (
                rf"/volume/v3/{PROJECT}/types",
                lambda: {"volume_types": [{"id": n * 2, "name": n} for n in self.volume_types]},
            ),
            (
                rf"/volume/v3/{PROJECT}/types/default",
                lambda: {"volume_type": {"id": "d" * 32, "name": "__DEFAULT__"}},
            ),
            (
                rf"/volume/v3/{PROJECT}/os-quota-sets/{PROJECT}",
                lambda: {"quota_set": self._volume_quota()},
            ),
            (rf"/heat/v1/{PROJECT}/stacks", lambda: {"stacks": []}),
            (
                rf"/network/v2.0/quotas/{PROJECT}/details.json",
                lambda: {"quota": self._quota()},
            ),
            (r"/network/v2.0/ports", lambda: {"ports": only(self.ports, "network_id")}),
            (
                r"/network/v2.0/routers/([^/]+)",
                lambda ident: {"router": one(self.routers, ident)},
            ),
            (r"/network", lambda: {"versions": [version(self.url + "/network/v2.0/", "v2.0")]}),
            (
                r"/network/v2.0/networks",
                lambda: {
                    "networks": [
                        n
                        for n in only(self.networks, "name", "id")
                        if external is None or n["router:external"] is (external == "True")
                    ]
                },
            ),
            (r"/network/v2.0/networks/([^/]+)", lambda i: {"network": one(self.networks, i)}),
            (
                r"/network/v2.0/subnets",
                lambda: {"subnets": only(self.subnets, "name", "id", "network_id")},
            ),
            (r"/network/v2.0/subnets/([^/]+)", lambda i: {"subnet": one(self.subnets, i)}),
        ]


# What the paths of a service begin with, as the catalogue says.
_PREFIXES = {
    "identity": "/v3",
    "image": "/image",
    "compute": "/compute",
    "network": "/network",
    "block-storage": "/volume",
    "orchestration": "/heat",
}


def image(name: str, ident: str, **properties: Any) -> dict[str, Any]:
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


def network(name: str, ident: str, external: bool, subnets: list[str]) -> Any:
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
        "port_security_enabled": True,
    }


def subnet(name: str, ident: str, network_id: str, **values: Any) -> Any:
    """Return a subnet as Neutron shows it."""
    return {
        "id": ident,
        "name": name,
        "network_id": network_id,
        "cidr": "10.0.0.0/24",
        "ip_version": 4,
        "gateway_ip": "10.0.0.1",
        "dns_nameservers": [],
        "host_routes": [],
        "enable_dhcp": True,
        "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.254"}],
        **values,
    }


def port(
    network_id: str, subnet_id: str, address: str, owner: str = "", device: str = ""
) -> dict[str, Any]:
    """Return a port as Neutron shows it."""
    return {
        "id": str(uuid.uuid4()),
        "network_id": network_id,
        "fixed_ips": [{"subnet_id": subnet_id, "ip_address": address}],
        "device_owner": owner,
        "device_id": device,
    }


def version(url: str, name: str) -> dict[str, Any]:
    """Return an entry of a service's version document."""
    return {"id": name, "status": "CURRENT", "links": [{"rel": "self", "href": url}]}
