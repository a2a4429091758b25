# SPDX-License-Identifier: Apache-2.0
"""Nova with machines that are none: they boot, report as nodes do, and are in the swarm's list."""

import asyncio
import base64
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.scaled import wire
from benchmarks.scaled.network import Network
from benchmarks.scaled.wire import Answer, Request

# Seconds in which a deleted server goes.
_GOING = 2.0
# How many nodes report at the same time.
_REPORTS = 4
_IN_USER_DATA = {
    name: re.compile(pattern)
    for name, pattern in {
        "alarm": r"(https?://[^\"'\\\s]+/signal)\b",
        "user": r"user_id\W+(\w{32})\b",
        "token": r"X-Auth-Token:\s*(\w+)",
    }.items()
}


class Compute:
    """Servers, which are active after ``boot`` seconds and have joined after ``join`` more.

    :param token_for: returns a token of a stack's user, with which a node reports.
    :param joined: called with name, role and address of each node that joined.
    :param gone: called with the name of each server that is gone.
    :ivar reports: statuses of Heat's answers to the nodes' reports, and how many had each.
    """

    def __init__(
        self,
        network: Network,
        token_for: Callable[[str], str],
        joined: Callable[[str, str, str], None],
        gone: Callable[[str], None],
        boot: float,
        join: float,
    ) -> None:
        self._network, self._token_for = network, token_for
        self._joined, self._gone = joined, gone
        self._boot, self._join = boot, join
        self.servers: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.reports: dict[int, int] = {}
        self._slots = asyncio.Semaphore(_REPORTS)
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, request: Request) -> Answer:
        """Answer a request; the path is what follows ``/v2.1``."""
        collection, *rest = request.path.strip("/").split("/")
        if not collection:
            version = {
                "id": "v2.1",
                "status": "CURRENT",
                "version": "2.96",
                "min_version": "2.1",
                "links": [{"rel": "self", "href": "http://127.0.0.1:5000/compute/v2.1/"}],
            }
            return Answer(200, {"version": version})
        if collection == "servers":
            return self._servers(request, rest)
        if collection == "os-server-groups":
            return self._server_groups(request, rest)
        if collection == "limits":
            limits = {"absolute": {"maxPersonality": 5, "maxServerMeta": 128}, "rate": []}
            return Answer(200, {"limits": limits})
        singular = collection.removeprefix("os-").removesuffix("s")
        known = {"id": "m1.small", "name": "m1.small", "ram": 4096, "disk": 20, "vcpus": 2}
        if rest and rest[0] != "detail":
            return Answer(200, {singular: {**known, "id": rest[0], "name": rest[0]}})
        return Answer(200, {f"{singular}s": [known]})

    def _server_groups(self, request: Request, rest: list[str]) -> Answer:
        if request.method == "POST":
            made = {**request.body["server_group"], "id": str(uuid.uuid4()), "members": []}
            self.groups[made["id"]] = made
            return Answer(200, {"server_group": made})
        found = self.groups.get(rest[0])
        if found is None:
            return Answer(404, {"itemNotFound": {"message": "no", "code": 404}})
        if request.method == "DELETE":
            del self.groups[rest[0]]
            return Answer(204)
        return Answer(200, {"server_group": found})

    def _servers(self, request: Request, rest: list[str]) -> Answer:
        if request.method == "POST" and not rest:
            return self._create(request.body["server"])
        now = time.monotonic()
        server = self.servers.get(rest[0]) if rest else None
        if server is not None and server["going"] and now > server["going"] + _GOING:
            self._forget(server)
            server = None
        if server is None:
            return Answer(404, {"itemNotFound": {"message": "no such server", "code": 404}})
        if request.method == "DELETE":
            server["going"] = server["going"] or now
            self._gone(server["name"])
            return Answer(204)
        if rest[1:] == ["os-interface"]:
            port = server["port"]
            attached = {
                "port_id": port["id"],
                "net_id": port["network_id"],
                "fixed_ips": port["fixed_ips"],
                "mac_addr": port["mac_address"],
                "port_state": "ACTIVE",
            }
            return Answer(200, {"interfaceAttachments": [attached]})
        return Answer(200, {"server": self._shown(server)})

    def _forget(self, server: dict[str, Any]) -> None:
        self.servers.pop(server["id"], None)
        if server["made_port"]:
            self._network.things["ports"].pop(server["port"]["id"], None)
        else:
            self._network.release(server["port"]["id"])

    def sweep(self) -> None:
        """Let those go that are deleted, whoever still asks."""
        for server in [one for one in self.servers.values() if one["going"]]:
            self._forget(server)

    def _shown(self, server: dict[str, Any]) -> dict[str, Any]:
        network = self._network.things["networks"][server["port"]["network_id"]]
        active = time.monotonic() > server["born"] + self._boot
        address = {
            "addr": server["port"]["fixed_ips"][0]["ip_address"],
            "version": 4,
            "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": server["port"]["mac_address"],
        }
        return {
            "id": server["id"],
            "name": server["name"],
            "status": "ACTIVE" if active else "BUILD",
            "flavor": {"id": "m1.small"},
            "image": {"id": "image"},
            "metadata": server["metadata"],
            "addresses": {network["name"]: [address]} if active else {},
            "links": [],
            "OS-EXT-STS:task_state": "deleting" if server["going"] else None,
        }

    def _create(self, given: dict[str, Any]) -> Answer:
        wanted = given["networks"][0]
        made_port = "port" not in wanted
        identifier = str(uuid.uuid4())
        if made_port:
            port = self._network.port(wanted["uuid"], {"device_id": identifier})
        else:
            port = self._network.things["ports"][wanted["port"]]
            port["device_id"] = identifier
        server = {
            "id": identifier,
            "name": given["name"],
            "metadata": given.get("metadata") or {},
            "port": port,
            "made_port": made_port,
            "born": time.monotonic(),
            "going": 0.0,
        }
        self.servers[identifier] = server
        text = base64.b64decode(given.get("user_data") or "").decode(errors="replace")
        found = {
            name: match.group(1)
            for name, pattern in _IN_USER_DATA.items()
            if (match := pattern.search(text))
        }
        task = asyncio.get_running_loop().create_task(self._live(server, found))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        shown = {"id": identifier, "links": [], "adminPass": "x", "security_groups": []}
        return Answer(202, {"server": shown})

    async def _live(self, server: dict[str, Any], found: dict[str, str]) -> None:
        """Boot, join, and report with what user-data says."""
        await asyncio.sleep(self._boot + self._join)
        if server["going"]:
            return
        role = server["metadata"].get("magnum_role")
        if role:
            address = server["port"]["fixed_ips"][0]["ip_address"]
            self._joined(server["name"], role, address)
        if "alarm" not in found:
            self.reports[0] = self.reports.get(0, 0) + 1
            return
        token = found.get("token") or self._token_for(found.get("user", ""))
        report = {"status": "SUCCESS", "id": server["id"], "reason": "joined", "data": "ready"}
        async with self._slots:
            status = await wire.post(found["alarm"], {"X-Auth-Token": token}, report)
        self.reports[status] = self.reports.get(status, 0) + 1
