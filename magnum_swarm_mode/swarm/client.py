# SPDX-License-Identifier: Apache-2.0
"""The Docker API of a cluster's managers as one: whichever answers in time."""

import contextlib
import dataclasses
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker import errors as docker_errors

from magnum_swarm_mode import exceptions, text
from magnum_swarm_mode.swarm import transport
from magnum_swarm_mode.swarm.transport import Answer, Identity, Manager
from magnum_swarm_mode.wire import answers
from magnum_swarm_mode.wire import nodes as swarm_nodes

PORT = 2376
_MANAGERS_WAITED = 3
_NODES = 100
_LONGEST_VERSION = 100

# What the engine says of a certificate, in Go's words.
_EXPIRED = "certificate has expired"


class NoLeader(exceptions.Unavailable):
    """Managers answer, but too few of them to have a leader: the swarm has lost its quorum."""


class CertificatesExpired(exceptions.Unavailable):
    """Managers answer, but the swarm's own certificates have expired while they were off."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """Versions of a manager's engine, as in ``docker version``."""

    version: str
    api_version: str


class Swarm:
    """The managers of a cluster as one: whichever answers.

    Connections are kept, so that a poll every minute costs a request and not a handshake. One
    thread at a time uses it.

    :param addresses: of the managers, as the conductor reaches them.
    :param timeout: seconds that one manager gets to answer. All together get three times as long,
        so that a cluster with many dead managers does not hold up a poll for minutes.
    :param nodes: how many the cluster has or shall have, for the size of answers.
    :ivar cluster: uuid of the cluster that they are the managers of, for what is told to them.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        identity: Identity,
        timeout: float,
        port: int = PORT,
        cluster: str = "",
        nodes: int = _NODES,
    ) -> None:
        self.cluster = cluster
        context = transport.context_of(identity)
        bounds = answers.for_conductor(nodes)
        self._managers = [Manager(address, port, context, bounds) for address in addresses]
        self._timeout = timeout
        self._lock = threading.Lock()

    def expect(self, nodes: int) -> None:
        """Say how many nodes the cluster has or shall have from now on."""
        bounds = answers.for_conductor(nodes)
        for manager in self._managers:
            manager.bound(bounds)

    def engine(self) -> Engine:
        """Return the versions of the engine of a manager that answers.

        :raises Unavailable: when none answers in time; says for each address why.
        """
        answer = self._ask(lambda client: client.version(api_version=False))
        return Engine(
            version=text.line(answer["Version"], _LONGEST_VERSION),
            api_version=text.line(answer["ApiVersion"], _LONGEST_VERSION),
        )

    def nodes(self) -> list[dict[str, Any]]:
        """Return the swarm's nodes as ``GET /nodes`` describes them.

        :raises Unavailable: when no manager answers in time, the swarm has no leader, or its own
            certificates have expired.
        """
        return self._ask(lambda client: list(client.nodes()))

    def poll(self, first: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the address of the manager that answered, and what it said as :meth:`nodes`.

        :param first: the address that is asked first.
        :raises Unavailable: as :meth:`nodes`.
        """
        with self._lock:
            self._managers.sort(key=lambda manager: manager.address != first)
            nodes = self._ask_in_turn(lambda client: list(client.nodes()))
            return self._managers[0].address, nodes

    def services(self) -> list[dict[str, Any]]:
        """Return the services as ``GET /services`` describes them.

        :raises Unavailable: as :meth:`nodes`.
        """
        return self._ask(lambda client: list(client.services()))

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks that are wanted to run, as ``GET /tasks`` describes them.

        :raises Unavailable: as :meth:`nodes`.
        """
        return self._ask(lambda client: list(client.tasks(filters={"desired-state": "running"})))

    def tasks_on(self, node_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return all tasks of some nodes, also those that shall not run any more.

        :raises Unavailable: as :meth:`nodes`.
        """
        filters = {"node": list(node_ids)}
        return self._ask(lambda client: list(client.tasks(filters=filters)))

    def update_node(self, node: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Change what the swarm wants of a node that :meth:`nodes` returned.

        :raises Unavailable: as :meth:`nodes`, and when the node was changed since.
        """
        version = swarm_nodes.part(node, "Version").get("Index")
        if not isinstance(version, int):
            raise exceptions.Unavailable("A manager lists a node without its version.")
        identifier = swarm_nodes.node_id(node)
        self._ask(lambda client: client.update_node(identifier, version, dict(spec)))

    def remove_node(self, node_id: str) -> None:
        """Remove a node whose machine is gone; one that is not listed is fine.

        :raises Unavailable: as :meth:`nodes`, and when it is still a manager.
        """

        def remove(client: Any) -> None:
            with contextlib.suppress(docker_errors.NotFound):
                client.remove_node(node_id, force=True)

        self._ask(remove)

    def put_config(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a config that says something by its labels, unless there is one of that name.

        :raises Unavailable: as :meth:`nodes`.
        """

        def put(client: Any) -> None:
            if not any(one["Spec"]["Name"] == name for one in client.configs({"name": name})):
                client.create_config(name, b"{}", dict(labels))

        self._ask(put)

    def configs(self, prefix: str) -> list[dict[str, Any]]:
        """Return the configs whose names begin so, as ``GET /configs`` describes them.

        :raises Unavailable: as :meth:`nodes`.
        """
        return self._ask(
            lambda client: [
                one
                for one in client.configs({"name": prefix})
                if one["Spec"]["Name"].startswith(prefix)
            ]
        )

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> None:
        """Make a config with contents.

        :raises Unavailable: as :meth:`nodes`, and when there is one of that name.
        """
        self._ask(lambda client: client.create_config(name, data, dict(labels)))

    def inspect(self) -> dict[str, Any]:
        """Return the swarm's own description: ``GET /swarm``, with its join tokens.

        :raises Unavailable: as :meth:`nodes`.
        """
        return self._ask(lambda client: dict(client.inspect_swarm()))

    def update_swarm(
        self, version: int, spec: Mapping[str, Any], *, rotate_tokens: bool = False
    ) -> None:
        """Change what is wanted of the swarm as a whole, and have other join tokens if wanted.

        :param version: of the description that the change is based on.
        :raises Unavailable: as :meth:`nodes`, and when the swarm was changed since.
        """
        self._ask(
            lambda client: client.update_swarm(
                version,
                dict(spec),
                rotate_worker_token=rotate_tokens,
                rotate_manager_token=rotate_tokens,
            )
        )

    def remove_config(self, name: str) -> None:
        """Remove the config of that name, if there is one.

        :raises Unavailable: as :meth:`nodes`.
        """

        def remove(client: Any) -> None:
            for one in client.configs({"name": name}):
                if one["Spec"]["Name"] == name:
                    client.remove_config(one["ID"])

        self._ask(remove)

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            for manager in self._managers:
                manager.close()

    def _ask(self, function: Callable[[Any], Answer]) -> Answer:
        with self._lock:
            return self._ask_in_turn(function)

    def _ask_in_turn(self, function: Callable[[Any], Answer]) -> Answer:
        deadline = time.monotonic() + self._timeout * min(len(self._managers), _MANAGERS_WAITED)
        problems: dict[str, str] = {}
        leaderless = expired = False
        waiting = list(self._managers)
        while waiting:
            manager = waiting.pop(0)
            left = deadline - time.monotonic()
            if left <= 0:
                problems.setdefault(manager.address, "not asked, no time left")
                continue
            try:
                # The later ones must get their turn: each gets an even share of what is left.
                answer = manager.call(function, min(self._timeout, left / (len(waiting) + 1)))
            except Exception as error:
                left = deadline - time.monotonic()
                why = self._swarms_error(manager, left) if _is_in_no_swarm(error) else ""
                problems[manager.address] = why or transport.reason(error)
                leaderless = leaderless or _tells_no_leader(error)
                expired = expired or _EXPIRED in why
                manager.close()
            else:
                # Who answered is asked first next time, and keeps the only connection.
                self._managers.remove(manager)
                for other in self._managers:
                    other.close()
                self._managers.insert(0, manager)
                return answer
        sentence = _all_failed(problems)
        if leaderless:
            raise NoLeader(sentence)
        raise (CertificatesExpired if expired else exceptions.Unavailable)(sentence)

    def _swarms_error(self, manager: Manager, seconds: float) -> str:
        """Return why a manager's engine is in no swarm; empty where it does not say in time."""
        with contextlib.suppress(Exception):
            info = manager.call(lambda client: client.info(), min(self._timeout, seconds))
            return text.line((info.get("Swarm") or {}).get("Error") or "", 400)
        return ""


def _all_failed(problems: dict[str, str]) -> str:
    if not problems:
        return "The cluster has no manager's address to ask the Docker API at."
    listed = "; ".join(f"{address}: {reason}" for address, reason in problems.items())
    return f"The Docker API answers on no manager ({listed})."


def _tells_no_leader(error: BaseException) -> bool:
    # swarmkit's words, unchanged since Docker 1.13; the status alone (503) may mean much.
    return isinstance(error, docker_errors.APIError) and "does not have a leader" in str(
        error.explanation or ""
    )


def _is_in_no_swarm(error: BaseException) -> bool:
    # The engine's words, where its part in the swarm does not run.
    return isinstance(error, docker_errors.APIError) and "is not a swarm manager" in str(
        error.explanation or ""
    )


def url(address: str) -> str:
    """Return the Docker API's address as the docker command takes it in DOCKER_HOST."""
    return f"tcp://{transport.in_url(address)}:{PORT}"


def address_of(url: str) -> str:
    """Return the address in what :func:`url` made; empty where there is none."""
    return urllib.parse.urlsplit(url).hostname or ""
