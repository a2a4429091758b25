# SPDX-License-Identifier: Apache-2.0
"""This server: who it is, what it was told, and how it speaks."""

import contextlib
import json
import socket
import time
from typing import Any, Dict, Set

from . import config, openstack, system, wait, web
from .codes import Code
from .docker import Docker
from .errors import NodeError, Temporary, line, redact
from .paths import Paths

SIGNAL_TIMEOUT = 600  # seconds
LONGEST_CAUSE = 500  # characters, for Heat


def identity(data: Any) -> Dict[str, str]:
    """Return what is to be kept of cloud-init's instance data or OpenStack's meta_data.json.

    :returns: uuid (Nova's), name, docker_volume (Cinder's id, "" without one); {} if it has none
    """
    known = data.get("ds", {}).get("meta_data") or data
    uuid = known.get("uuid") or known.get("instance-id")
    if not uuid:
        return {}
    return _texts(
        uuid=uuid,
        name=known.get("name") or known.get("hostname") or uuid,
        docker_volume=(known.get("meta") or {}).get("docker_volume") or "",
    )


def _texts(uuid: Any, name: Any, docker_volume: Any) -> Dict[str, str]:
    """Return what is known of a server.

    :raises TypeError: when it is no text
    """
    found = {"uuid": uuid, "name": name, "docker_volume": docker_volume}
    if not all(isinstance(value, str) for value in found.values()):
        raise TypeError("the server's identity is no text")
    return found


def is_own(address: str) -> bool:
    """Return whether an address is one of this server's."""
    with socket.socket(web.family(address)) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def is_news(before: str, status: str) -> bool:
    """Say whether a status is news to Heat: a success after a failure is, nothing else is."""
    return before not in (status, "SUCCESS")


class Node:
    """One server; every duty gets it.

    A line that was said in a step before is not said again.
    """

    config: config.Config

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.docker = Docker(socket_path=paths.docker_socket)
        self.uuid = self.docker_volume = ""
        self.name = socket.gethostname()  # until Nova's word is known
        self._step = ""
        self._said: Set[str] = set()

    def load(self, fresh: bool = False) -> None:
        """Read who and what this node is.

        :param fresh: ask cloud-init even if it is known; after a boot there may be no cloud-init
        :raises NodeError: it cannot be known
        """
        self.begin("configuration")
        sources = self.paths.seeds if fresh else (self.paths.identity, *self.paths.seeds)
        known: Dict[str, str] = {}
        for source in sources:
            with contextlib.suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
                data = system.parsed(source.read_text())
                known = _texts(**data) if source == self.paths.identity else identity(data)
                self.uuid, self.name = known["uuid"], known["name"]
                self.docker_volume = known["docker_volume"]
                break
        self.config = config.parse(system.read(self.paths.config))
        if not self.uuid:
            raise NodeError("cloud-init left no instance data: this server does not know its uuid")
        # After the configuration, which says how to tell Heat that the disk is full.
        system.write(self.paths.identity, json.dumps(known), 0o600)

    def own_index(self) -> int:
        """Return which manager this server is.

        :raises NodeError: when its interfaces have none of their addresses for a minute
        """

        def find() -> int:
            for index in self.config.indexes:
                if is_own(self.config.address(index)):
                    return index
            raise Temporary("no interface has the address of a manager")

        return wait.until("own address", find, 60)

    def begin(self, step: str) -> None:
        """Name the duty that starts now; a failure will bear this name."""
        self._step = step
        self._said.clear()

    def say(self, text: str) -> None:
        """Say something about the step, in one line."""
        self._write(f"{self.name}: {self._step}: {text}")

    def _write(self, text: str) -> None:
        """Write one line into the log, the journal (standard output) and on the console."""
        said = line(f"magnum-swarm-mode: {text}")
        if said in self._said:
            return
        self._said.add(said)
        print(said, flush=True)
        # A full disk or a missing console must not stop the node.
        with contextlib.suppress(OSError):
            self.paths.log.touch(0o600)
            with self.paths.log.open("a") as log:
                log.write(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + said + "\n")
        with contextlib.suppress(OSError), self.paths.console.open("w") as console:
            console.write(said + "\r\n")

    @property
    def is_known(self) -> bool:
        """Whether Heat heard of success already: then this is not the first boot."""
        return system.read(self.paths.signalled) == "SUCCESS"

    def fail(self, cause: str, tell: bool = True, code: Code = Code.OTHER) -> None:
        """Say the same everywhere, Heat included: why this node does not work.

        :param tell: whether it is a matter of Heat's
        :param code: what the control side knows the reason by
        """
        cause = line(cause)
        if len(cause) > LONGEST_CAUSE:
            self.say(cause)
            cause = cause[:LONGEST_CAUSE] + "…"
        reason = f"{self.name}: {self._step}: {cause} (log on that server: {self.paths.log})"
        self._write("FAILED: " + reason)
        if tell and hasattr(self, "config") and self.uuid:
            try:
                self.signal("FAILURE", reason, code.value)
            except NodeError as error:
                self.say(f"Heat was not told: {error}")

    def signal(self, status: str, reason: str, data: str = "") -> None:
        """Tell Heat SUCCESS or FAILURE, unless it knows.

        What a full disk does not let it remember it tells again after the next boot.

        :raises NodeError: when Heat refuses it or cannot be reached for ten minutes
        """
        if not is_news(system.read(self.paths.signalled), status):
            return
        wait.until(
            "signal to Heat",
            lambda: openstack.signal(self.config, self.uuid, status, redact(reason), data),
            SIGNAL_TIMEOUT,
            3,
            self.say,
        )
        with contextlib.suppress(NodeError):
            system.write(self.paths.signalled, status, 0o600)
        self.say("Heat knows")
