# SPDX-License-Identifier: Apache-2.0
"""Users of the cloud: each has an environment of its own and types ordinary commands."""

import contextlib
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from devcloud.demo import shell
from devcloud.demo.rest import Cloud, UnreachableError
from tests.endtoend import conductors

RESTART = 60.0  # seconds that a service may not answer
HOME = "/nonexistent"  # nothing of the caller's home directory may matter


class PatientCloud(Cloud):
    """Waits for a service that is being restarted, as ``tools/devcloud up`` does with new code."""

    def call(
        self,
        method: str,
        service: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        deadline = time.monotonic() + RESTART
        while True:
            try:
                return super().call(method, service, path, body, headers)
            except UnreachableError:
                # Only a refused connection is sure to have changed nothing.
                if method != "GET" or time.monotonic() > deadline:
                    raise
            time.sleep(1)


class User:
    """Somebody with OS_* variables.

    :param environment: all of a command's environment
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.cloud = PatientCloud(environment)

    def run(self, *words: str, timeout: float = 180.0) -> str:
        """What a command prints on its standard output.

        :param timeout: seconds
        :raises shell.CommandError: it failed
        """
        is_call = words[:2] == ("openstack", "coe")
        with conductors.calls() if is_call else contextlib.nullcontext():
            return shell.capture(words, self.environment, timeout)

    def act(self, server: str, action: str, **details: object) -> None:
        """Have Nova do something to a server, such as ``os-stop``."""
        body = {action: details or None}
        self.cloud.call("POST", "compute", f"/servers/{server}/action", body)

    def json(self, *words: str, timeout: float = 180.0) -> Any:
        """What an ``openstack`` command prints with ``-f json``."""
        return json.loads(self.run("openstack", *words, "-f", "json", timeout=timeout))


@cache
def demo() -> User:
    """The user ``demo`` of the project ``demo``."""
    return User(shell.user_environment(home=HOME))


@cache
def admin() -> User:
    """The administrator."""
    return User(shell.user_environment("admin", home=HOME))


def same_project(name: str, password: str) -> User:
    """Another member of the project ``demo``."""
    return User({**demo().environment, "OS_USERNAME": name, "OS_PASSWORD": password})
