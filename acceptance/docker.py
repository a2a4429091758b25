# SPDX-License-Identifier: Apache-2.0
"""The cluster's Docker API, with a client certificate that Magnum signed."""

import http.client
import json
import socket
import ssl
import struct
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.errors import Broken

TIMEOUT = 30.0  # seconds
NEWEST_API = (1, 44)  # engine 29 speaks nothing older


@dataclass(frozen=True)
class Node:
    """An entry of the swarm's list of nodes."""

    ident: str
    name: str
    role: str
    state: str
    availability: str
    address: str


@dataclass(frozen=True)
class Task:
    """A task of a service that shall run.

    :ivar addresses: by the id of the network.
    """

    ident: str
    node: str  # id
    state: str
    error: str
    addresses: Mapping[str, str]


def parse_node(entry: Mapping[str, Any]) -> Node:
    """Return what is needed of an element of GET /nodes."""
    spec, status = entry["Spec"], entry["Status"]
    address = (entry.get("ManagerStatus") or {}).get("Addr", "").rpartition(":")[0]
    return Node(
        ident=entry["ID"],
        name=entry["Description"]["Hostname"],
        role=spec["Role"],
        state=status["State"],
        availability=spec["Availability"],
        address=address or status.get("Addr", ""),
    )


def parse_task(entry: Mapping[str, Any]) -> Task:
    """Return what is needed of an element of GET /tasks."""
    status = entry["Status"]
    addresses = {
        one["Network"]["ID"]: one["Addresses"][0].split("/")[0]
        for one in entry.get("NetworksAttachments") or []
        if one.get("Addresses")
    }
    error = status.get("Err") or status.get("Message", "")
    return Task(entry["ID"], entry.get("NodeID", ""), status["State"], error, addresses)


def demultiplex(data: bytes) -> str:
    """Return the text of a stream of logs: frames of a header with their length, and content."""
    parts = []
    while len(data) >= 8:
        (length,) = struct.unpack(">I", data[4:8])
        parts.append(data[8 : 8 + length])
        data = data[8 + length :]
    return b"".join(parts).decode(errors="replace")


def service(
    name: str,
    image: str,
    script: str,
    networks: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    published: int = 0,
    virtual: bool = False,
) -> dict[str, Any]:
    """Return the specification of a service that runs a script on every node.

    :param networks: ids.
    :param published: port at which every node shall answer for the container's, 0 for none.
    :param virtual: whether the service has an address of its own.
    """
    values = {"NODE": "{{.Node.Hostname}}", **(environment or {})}
    endpoint: dict[str, Any] = {"Mode": "vip" if virtual else "dnsrr"}
    if published:
        port = {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": published}
        endpoint["Ports"] = [{**port, "PublishMode": "ingress"}]
    return {
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": image,
                "Command": ["sh", "-c", script],
                "Env": [f"{key}={value}" for key, value in values.items()],
                "StopGracePeriod": 1_000_000_000,
            },
            "Networks": [{"Target": network} for network in networks],
            "RestartPolicy": {"Condition": "any", "Delay": 2_000_000_000},
        },
        "Mode": {"Global": {}},
        "EndpointSpec": endpoint,
    }


class Docker:
    """A client of one manager.

    :param address: host and port.
    :param directory: where ca.pem, cert.pem and key.pem are.
    """

    def __init__(self, address: str, directory: Path) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self._directory = directory
        self._version = ""

    def context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """Return what verifies the manager and, if wanted, shows who asks."""
        context = ssl.create_default_context(cafile=str(self._directory / "ca.pem"))
        # Magnum's certificates lack an extension that newer versions of Python demand.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if with_certificate:
            context.load_cert_chain(self._directory / "cert.pem", self._directory / "key.pem")
        return context

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=TIMEOUT, context=self.context()
        )

    def raw(self, method: str, path: str, body: object = None) -> bytes:
        """Ask for a path and return the answer's body.

        :raises Broken: no answer, or a refusal.
        """
        connection = self._connect()
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if path == "/_ping":
            self._version = response.headers.get("Api-Version", "")
        if response.status >= 400:
            text = answer.decode(errors="replace")[:300]
            raise Broken(f"{method} {path}: {response.status} {text}")
        return answer

    def call(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """Call the API and return its answer, parsed.

        :param query: parameters; what is no text goes as JSON.
        :raises Broken: no answer, or a refusal.
        """
        answer = self.raw(method, self._path(path, query), body)
        return json.loads(answer) if answer.strip() else None

    def _path(self, path: str, query: Mapping[str, object]) -> str:
        if not self._version:
            self.raw("GET", "/_ping")
        own = tuple(int(part) for part in self._version.split("."))
        version = ".".join(map(str, min(own, NEWEST_API)))
        words = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in query.items()
        }
        return f"/v{version}{path}" + (f"?{urllib.parse.urlencode(words)}" if words else "")

    def nodes(self) -> list[Node]:
        """Return the swarm's nodes by name."""
        return sorted(map(parse_node, self.call("GET", "/nodes")), key=lambda one: one.name)

    def tasks(self, name: str) -> list[Task]:
        """Return the tasks of a service that shall run."""
        filters = {"service": {name: True}, "desired-state": {"running": True}}
        return [parse_task(one) for one in self.call("GET", "/tasks", filters=filters)]

    def logs(self, name: str) -> str:
        """Return what the tasks of a service wrote."""
        path = self._path(f"/services/{name}/logs", {"stdout": "1"})
        return demultiplex(self.raw("GET", path))

    def make_network(self, name: str, *, encrypted: bool = False) -> str:
        """Make an overlay network and return its id."""
        options = {"encrypted": ""} if encrypted else {}
        body = {"Name": name, "Driver": "overlay", "Options": options, "CheckDuplicate": True}
        return str(self.call("POST", "/networks/create", body)["Id"])

    def make_service(self, specification: Mapping[str, Any]) -> None:
        """Make a service."""
        self.call("POST", "/services/create", specification)

    def answers_without_certificate(self) -> bool:
        """Say whether the manager answers who has no certificate."""
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=TIMEOUT, context=self.context(with_certificate=False)
        )
        return self._answers(connection)

    def answers_without_tls(self) -> bool:
        """Say whether the manager's API answers who does not speak TLS."""
        return self._answers(http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT))

    @staticmethod
    def _answers(connection: http.client.HTTPConnection) -> bool:
        try:
            connection.request("GET", "/_ping")
            # An engine that speaks TLS itself tells others so, with a status of 400.
            return connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def is_open(host: str, port: int, timeout: float = 3.0) -> bool:
    """Say whether a port can be connected to."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False
