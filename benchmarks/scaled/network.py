# SPDX-License-Identifier: Apache-2.0
"""Neutron as Heat and the driver see it: what is made is there at once."""

import ipaddress
import itertools
import uuid
from collections.abc import Iterator
from typing import Any

from benchmarks.scaled.wire import Answer, Request

EXTERNAL, INTERNAL = "public", "nodes"
# Loopback addresses, where a manager's API can listen.
FLOATING = ipaddress.ip_network("127.96.0.0/16")
FIXED = ipaddress.ip_network("10.0.0.0/16")
_EXTENSIONS = ("security-group", "router", "external-net", "net-mtu", "port-security", "quotas")


class Network:
    """Collections of things, by id; two networks are there from the beginning."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = {}
        self._fixed: Iterator[Any] = itertools.islice(FIXED.hosts(), 10, None)
        self._floating: Iterator[Any] = itertools.cycle(FLOATING.hosts())
        for name, subnet in ((EXTERNAL, "203.0.113.0/24"), (INTERNAL, str(FIXED))):
            network = self._add("networks", {"name": name, "router:external": name == EXTERNAL})
            self._add(
                "subnets",
                {"name": name, "network_id": network["id"], "cidr": subnet, "ip_version": 4},
            )
        self._lasting = {identifier for things in self.things.values() for identifier in things}

    def count_from_the_first(self) -> None:
        """Give the next floating IP the first address again, when none is in use."""
        self._floating = itertools.cycle(FLOATING.hosts())

    def left(self) -> dict[str, int]:
        """Return how much there is of what was not there from the beginning."""
        counts = {
            kind: sum(identifier not in self._lasting for identifier in things)
            for kind, things in self.things.items()
        }
        return {kind: count for kind, count in counts.items() if count}

    def release(self, port: str) -> None:
        """Let a port have no server any more."""
        if found := self.things.get("ports", {}).get(port):
            found["device_id"] = ""

    def answer(self, request: Request) -> Answer:
        """Answer a request; the path is what follows ``/v2.0``."""
        collection, *rest = request.path.strip("/").split("/")
        collection = collection.replace("-", "_")
        if collection == "extensions":
            return Answer(200, {"extensions": [{"alias": name} for name in _EXTENSIONS]})
        if request.method == "POST":
            ((name, given),) = request.body.items()
            several = isinstance(given, list)
            made = [self._add(collection, one) for one in (given if several else [given])]
            return Answer(201, {name: made if several else made[0]})
        if not rest:
            return Answer(200, {collection: self._list(collection, request)})
        found = self.things.get(collection, {}).get(rest[0])
        if found is None:
            return Answer(404, {"NeutronError": {"message": "no", "type": "NotFound"}})
        if request.method == "DELETE":
            self._remove(collection, rest[0])
            return Answer(204)
        if request.method == "PUT" and len(rest) > 1:
            return Answer(200, {"id": rest[0], "port_id": str(uuid.uuid4()), **request.body})
        if request.method == "PUT":
            ((_, changes),) = request.body.items()
            found.update(changes)
        name = "policy" if collection == "policies" else collection.removesuffix("s")
        return Answer(200, {name: found})

    def _list(self, collection: str, request: Request) -> list[dict[str, Any]]:
        found = list(self.things.get(collection, {}).values())
        for name, values in request.query.items():
            if name in ("fields", "limit", "marker"):
                continue
            found = [
                thing
                for thing in found
                if str(thing.get(name)) in values
                or (isinstance(thing.get(name), list) and set(values) & set(thing[name]))
            ]
        return found

    def port(self, network: str, given: dict[str, Any]) -> dict[str, Any]:
        """Make a port as Nova does."""
        return self._add("ports", {"network_id": network, **given})

    def _add(self, collection: str, given: dict[str, Any]) -> dict[str, Any]:
        made = {
            "name": "",
            "status": "ACTIVE",
            "admin_state_up": True,
            **given,
            "id": str(uuid.uuid4()),
        }
        getattr(self, f"_make_{collection}", lambda _: None)(made)
        self.things.setdefault(collection, {})[made["id"]] = made
        return made

    def _make_networks(self, made: dict[str, Any]) -> None:
        made |= {"mtu": 1450, "subnets": []}

    def _make_subnets(self, made: dict[str, Any]) -> None:
        made.setdefault("gateway_ip", None)
        self.things["networks"][made["network_id"]]["subnets"].append(made["id"])

    def _make_ports(self, made: dict[str, Any]) -> None:
        subnet = self.things["networks"][made["network_id"]]["subnets"][0]
        made["fixed_ips"] = [{"subnet_id": subnet, "ip_address": str(next(self._fixed))}]
        made.setdefault("device_id", "")
        made.setdefault("security_groups", [])
        made["mac_address"] = f"fa:16:3e:{uuid.uuid4().hex[:2]}:{uuid.uuid4().hex[:2]}:00"

    def _make_floatingips(self, made: dict[str, Any]) -> None:
        port = self.things["ports"][made["port_id"]]
        made["floating_ip_address"] = str(next(self._floating))
        made["fixed_ip_address"] = port["fixed_ips"][0]["ip_address"]

    def _make_security_groups(self, made: dict[str, Any]) -> None:
        made["security_group_rules"] = []

    def _make_security_group_rules(self, made: dict[str, Any]) -> None:
        group = self.things["security_groups"][made["security_group_id"]]
        group["security_group_rules"].append(made)

    def _remove(self, collection: str, identifier: str) -> None:
        self.things[collection].pop(identifier)
        if collection == "security_groups":
            rules = self.things.get("security_group_rules", {})
            for rule in [r for r, one in rules.items() if one["security_group_id"] == identifier]:
                del rules[rule]
