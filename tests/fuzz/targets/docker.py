# SPDX-License-Identifier: Apache-2.0
"""What engines answer to the conductor and to commands."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cli.swarm import access
from magnum_swarm_mode.decisions import health
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings, transport
from magnum_swarm_mode.wire import answers, engine, exchange
from magnum_swarm_mode.wire import nodes as swarm_nodes
from tests.fakes.certificates import Authority
from tests.fakes.liar import VERSION, answer
from tests.fuzz import inputs
from tests.fuzz.harness import Target

CLUSTER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
NODE = {
    "ID": "24ifsmvkjbyhk",
    "Version": {"Index": 8},
    "Spec": {
        "Name": "",
        "Role": "worker",
        "Availability": "active",
        "Labels": {"magnum.node_group": "default-worker"},
    },
    "Description": {
        "Hostname": "c-worker-0",
        "Engine": {"EngineVersion": "26.1.5"},
        "Resources": {"NanoCPUs": 4000000000, "MemoryBytes": 8272408576},
        "TLSInfo": {"TrustRoot": "PEM", "CertIssuerSubject": "s", "CertIssuerPublicKey": "k"},
    },
    "Status": {"State": "ready", "Message": "", "Addr": "10.0.0.9"},
}
MANAGER = {
    **NODE,
    "ID": "lcz3g7yqb5qxw",
    "Spec": {**NODE["Spec"], "Role": "manager", "Labels": {manager_settings.LABEL: "3"}},  # type: ignore[dict-item]
    "Description": {**NODE["Description"], "Hostname": "c-manager-0"},  # type: ignore[dict-item]
    "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.5:2377"},
}
TASK = {
    "ID": "0kzzo1i0y4jz6",
    "NodeID": "24ifsmvkjbyhk",
    "ServiceID": "9mnpnzenvg8p8",
    "DesiredState": "running",
    "Status": {"State": "running"},
    "Spec": {"Resources": {"Reservations": {"NanoCPUs": 500000000, "MemoryBytes": 1048576}}},
}
SERVICE = {"ID": "9mnpnzenvg8p8", "Spec": {"Mode": {"Replicated": {"Replicas": 2}}}}
CONFIG = {
    "ID": "ktnbjxoalbkvb",
    "Spec": {
        "Name": f"{manager_settings.PREFIX}3",
        "Labels": {manager_settings.CLUSTER: CLUSTER},
        "Data": base64.b64encode(json.dumps({"openstack": {"auth_url": "x"}}).encode()).decode(),
    },
}
INFO = {
    "Swarm": {
        "NodeID": "24ifsmvkjbyhk",
        "NodeAddr": "10.0.0.5",
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "Cluster": {"ID": "x"},
    },
    "Name": "c-manager-0",
    "ServerVersion": "26.1.5",
    "DockerRootDir": "/var/lib/docker",
}
_OWN = re.compile(r"c-(?:manager|worker)-g?\d+")


class Wire:
    """A connection whose other side answers in memory.

    :param respond: returns the answer to a request by the end of its path.
    """

    def __init__(self, respond: Callable[[str], bytes]) -> None:
        self._respond = respond
        self._left = memoryview(b"")

    def settimeout(self, _: float) -> None:
        """Do nothing: no read waits."""

    def send(self, data: memoryview) -> int:
        """Take a request in; its head comes as a whole."""
        first = bytes(data[:400]).split(b" ", 2)
        if len(first) > 2 and first[1].startswith(b"/"):
            path = first[1].decode().partition("?")[0].rpartition("/")[2]
            self._left = memoryview(self._respond(path))
        return len(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Return what of the answer has not been read."""
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """End the connection."""
        self._left = memoryview(b"")


class Adapter(exchange.Adapter):
    """An adapter that connects to a wire in memory.

    :ivar told: what is answered, but to questions for the version.
    """

    told = b""
    greets = True

    def _connect(self) -> exchange._Socket:
        return exchange._Socket(Wire(self._respond), "10.0.0.5:2376")  # type: ignore[arg-type]

    def _respond(self, path: str) -> bytes:
        return answer(VERSION) if path == "version" and self.greets else self.told


def _adapter(bounds: answers.Bounds) -> Adapter:
    return Adapter("10.0.0.5", 2376, ssl.create_default_context(), bounds, 10.0)


class _Engine(Target):
    refusals = access.FAILURES
    longest = 2000

    def __init__(self) -> None:
        self.adapter = _adapter(answers.for_conductor(11))
        self.client = engine.connect(self.adapter)

    def told(self, error: BaseException) -> str:
        return engine.reason(error)

    def ask(self, data: bytes, question: Callable[[Any], Any]) -> Any:
        self.adapter.told = data
        self.adapter.close()
        return question(self.client)


class Nodes(_Engine):
    """``GET /nodes`` as bytes of HTTP; then the health and what is read of nodes elsewhere.

    Only errors of docker-py, of requests and of the system leave the client, none the decisions.
    Nothing of a name or message that does harm stands in the health, which fits Magnum's column.
    """

    name = "docker-nodes"
    depths = (health.judge, swarm_nodes.address)
    longest = 60_000

    def inputs(self) -> inputs.Make:
        nodes = inputs.documents([MANAGER, NODE], [NODE, MANAGER, NODE])
        others = inputs.documents([], {"message": "no leader"})
        return inputs.answers(inputs.often((19, nodes), (1, others)))

    def read(self, data: bytes) -> Iterable[str]:
        nodes = self.ask(data, lambda client: list(client.nodes()))
        found = health.judge(nodes, 3, 8, notes={"24ifsmvkjbyhk": "Note"}, own=_OWN)
        yield found.status
        yield json.dumps(dict(found.reason), ensure_ascii=False)
        yield from manager_settings.waiting(nodes, 4)
        yield from manager_settings.away(nodes)
        yield from manager_settings.deaf(nodes)
        for node in nodes:
            yield swarm_nodes.seen_address(node)
            yield swarm_nodes.address(node)


class Lists(_Engine):
    """``GET /tasks`` and ``/services`` as bytes of HTTP; then a cluster's use.

    The same errors as of nodes leave the client, none the decision; the figures are numbers that
    JSON can carry.
    """

    name = "docker-lists"
    depths = (health.measure,)

    def inputs(self) -> inputs.Make:
        both = {**TASK, **SERVICE, "Spec": {**TASK["Spec"], **SERVICE["Spec"]}}  # type: ignore[dict-item]
        return inputs.answers(inputs.documents([TASK, TASK], [SERVICE], [both]))

    def read(self, data: bytes) -> Iterable[str]:
        tasks = self.ask(data, lambda client: list(client.tasks()))
        services = self.ask(data, lambda client: list(client.services()))
        use = health.measure([NODE, MANAGER], services, tasks)
        yield json.dumps(
            [use.cpu, use.memory, use.tasks_wanted, use.tasks_running], allow_nan=False
        )


class Version(_Engine):
    """``GET /version`` and ``/info`` as bytes of HTTP, to the conductor and to a command.

    Only errors of docker-py, of requests and of the system leave them.
    """

    name = "docker-version"
    depths = (access.seen, engine.connect)

    def inputs(self) -> inputs.Make:
        # Both are asked of the same input.
        both = {**json.loads(VERSION), **INFO}
        return inputs.answers(inputs.documents(both, both, both, json.loads(VERSION), INFO))

    def read(self, data: bytes) -> Iterable[str]:
        seen = access.seen("10.0.0.5", self.ask(data, lambda one: one.info()))
        yield from map(str, vars(seen).values())
        self.adapter.greets = False
        try:
            self.adapter.close()
            engine.connect(self.adapter)
        finally:
            self.adapter.greets = True


class Settings(Target):
    """``GET /configs`` as bytes of HTTP: the settings that managers are told.

    Only errors of this package leave them, with sentences that can be shown.
    """

    name = "docker-settings"
    depths = (manager_settings.newest, manager_settings.merged)
    refusals = (exceptions.SwarmModeError,)

    def __init__(self) -> None:
        authority = Authority()
        pair = authority.client()
        identity = transport.Identity(authority.pem, pair.certificate, pair.key)
        self._swarm = swarm_client.Swarm(["10.0.0.5"], identity, 10.0, cluster=CLUSTER)
        self._adapter = _adapter(answers.for_conductor(11))
        (manager,) = self._swarm._managers
        manager._adapter = self._adapter

    def inputs(self) -> inputs.Make:
        named = {**CONFIG, "Spec": {**CONFIG["Spec"], "Name": f"{manager_settings.PREFIX}٣²"}}  # type: ignore[dict-item]
        data = inputs.documents({"openstack": {"auth_url": "x"}}, [], cuts=False)

        def inner(dice: inputs.Dice) -> bytes:
            told = base64.b64encode(data(dice)).decode()
            return json.dumps([{**CONFIG, "Spec": {**CONFIG["Spec"], "Data": told}}]).encode()  # type: ignore[dict-item]

        outer = inputs.documents([CONFIG], [CONFIG, named])
        return inputs.answers(inputs.often((2, outer), (1, inner)))

    def read(self, data: bytes) -> Iterable[str]:
        self._adapter.told = data
        self._adapter.close()
        found = manager_settings.newest(self._swarm)
        manager_settings.merged(found.told, manager_settings.credential("i", "s"))
        yield str(found.generation)[:100]


class Chunks(Target):
    """A JSON list in pieces, to the reader that takes one item at a time.

    Only ``BadAnswerError`` leaves it, and what is kept is small.
    """

    name = "docker-pieces"
    depths = (answers.listing,)
    refusals = (answers.BadAnswerError,)

    def inputs(self) -> inputs.Make:
        return inputs.documents([MANAGER, NODE], [TASK] * 3, [CONFIG], [{}], {"a": 1})

    def read(self, data: bytes) -> Iterable[str]:
        bounds = answers.for_conductor(11)
        for path in ("/nodes", "/tasks", "/configs"):
            for size in (len(data) or 1, max(1, len(data) // 7)):
                with contextlib.suppress(answers.BadAnswerError):
                    answers.listing(_pieces(data, size), bounds(path))
        answers.document(data)
        return ()


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


TARGETS = (Nodes(), Lists(), Version(), Settings(), Chunks())
