# SPDX-License-Identifier: Apache-2.0
"""The ordinary docker command with the files that ``cluster config`` wrote, and nothing else."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from devcloud.demo import shell
from tests.endtoend import users


@cache
def command() -> str:
    """Where the docker command is.

    :raises AssertionError: nowhere
    """
    found = shutil.which("docker", path=users.demo().environment["PATH"])
    assert found, "there is no docker command"
    return found


@dataclass(frozen=True)
class Node:
    """A line of ``docker node ls``."""

    ident: str
    hostname: str
    status: str  # Ready or Down
    availability: str
    manager: str  # Leader, Reachable, Unreachable, or empty for a worker


def exports(text: str) -> dict[str, str]:
    """The variables that a printed shell text exports."""
    return dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))


class Docker:
    """A docker client.

    :param variables: DOCKER_HOST and the like
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = dict(variables)
        self.environment = {**shell.login_environment(users.HOME), **variables}

    @property
    def directory(self) -> Path:
        """Where ca.pem, cert.pem and key.pem are."""
        return Path(self.variables["DOCKER_CERT_PATH"])

    @property
    def address(self) -> str:
        """The address that it talks to, without protocol and port."""
        return self.variables["DOCKER_HOST"].removeprefix("tcp://").rpartition(":")[0]

    def at(self, address: str) -> "Docker":
        """The same client, talking to another manager."""
        return Docker({**self.variables, "DOCKER_HOST": f"tcp://{address}:2376"})

    def run(self, *words: str, timeout: float = 60.0) -> str:
        """What ``docker …`` prints.

        :raises shell.CommandError: it failed
        """
        return shell.capture((command(), *words), self.environment, timeout)

    def refused(self, *words: str, timeout: float = 60.0) -> str:
        """What ``docker …`` says when it must fail.

        :raises AssertionError: it did not
        """
        try:
            said = self.run(*words, timeout=timeout)
        except shell.CommandError as error:
            return error.output
        raise AssertionError(f"docker {' '.join(words)} should have failed and said: {said}")

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """What a listing command prints, a dictionary per line."""
        lines = self.run(*words, "--format", "{{json .}}").splitlines()
        return [json.loads(line) for line in lines]

    def nodes(self) -> list[Node]:
        """``docker node ls``."""
        return [
            Node(
                one["ID"],
                one["Hostname"],
                one["Status"],
                one["Availability"],
                one.get("ManagerStatus", ""),
            )
            for one in self.rows("node", "ls")
        ]

    def try_nodes(self) -> list[Node]:
        """``docker node ls``, or nothing while the managers do not answer."""
        try:
            return self.nodes()
        except shell.CommandError:
            return []

    def swarm_id(self) -> str:
        """The identity of the swarm that the node is in; empty for none."""
        return self.run("info", "--format", "{{with .Swarm.Cluster}}{{.ID}}{{end}}").strip()


def roles(nodes: Sequence[Node]) -> dict[str, int]:
    """How many Ready nodes of each kind (Leader, Reachable, worker) there are, and others."""
    counted: dict[str, int] = {}
    for node in nodes:
        kind = (node.manager or "worker") if node.status == "Ready" else f"{node.status} node"
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def whole(managers: int, workers: int) -> dict[str, int]:
    """What :func:`roles` says of a swarm in which all is well."""
    expected = {"Leader": 1, "Reachable": managers - 1, "worker": workers}
    return {kind: count for kind, count in expected.items() if count}


def query(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail; how it ended."""
    return subprocess.run(
        words,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
