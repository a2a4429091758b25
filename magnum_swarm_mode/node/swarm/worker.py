# SPDX-License-Identifier: Apache-2.0
"""A worker's way into the swarm: asks the managers for the token of now, and joins."""

import random
import time
from typing import Callable, List, Tuple

from ..base import wait, web
from ..base.codes import Code
from ..base.config import Config
from ..base.docker import Info
from ..base.errors import NodeError, Temporary
from ..base.node import Node

PENDING_PATIENCE = 60  # seconds that an engine may go on joining by itself


def own_address(config: Config) -> str:
    """Return the address by which this server reaches the managers.

    :raises Temporary: when there is no route to them (yet)
    """
    target = config.address(config.indexes[0])
    try:
        return web.source_towards(target)
    except OSError as error:
        raise Temporary(f"no route to {target}: {error.strerror}") from error


def fetch(config: Config) -> Tuple[str, List[str]]:
    """Return the worker token and the living managers' host:port, from whichever manager answers.

    :raises Temporary: none gives them now
    :raises NodeError: every manager that answered refused this node's secret
    """
    context = web.tls(config.ca_certificate)
    seen = []
    refused = True
    for index in random.sample(config.indexes, len(config.indexes)):
        url = f"https://{web.host(config.address(index))}:{config.join_port}/v1/worker-token"
        try:
            secret = {"secret": config.join_secret}
            body = web.request("POST", url, secret, context=context, neighbour=True)[1]
            return str(body["token"]), body["managers"]
        except NodeError as error:
            refused &= error.status == 401
            seen.append(f"manager {index}: {error}")
    text = "; ".join(sorted(seen))
    if refused:
        raise NodeError(text, code=Code.NOT_JOINED)
    raise Temporary(text, code=Code.MANAGERS_UNREACHABLE)


class Joining:
    """One worker on its way into the swarm; attempt() is one step.

    :param address: its own, for the others
    """

    def __init__(
        self, node: Node, address: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = node.config
        self._docker = node.docker
        self._address = address
        self._clock = clock
        self._since = 0.0

    def attempt(self) -> Info:
        """Return the engine's state once it is in the swarm.

        :raises Temporary: not yet, with the reason
        :raises NodeError: never
        """
        info = self._docker.info()
        if info.state == "inactive":
            token, managers = fetch(self._config)
            self._since = self._clock()
            self._docker.join(self._address, token, managers)
            info = self._docker.info()
        elif info.state == "error" or (
            info.state != "active" and self._clock() - self._since > PENDING_PATIENCE
        ):
            self._docker.leave()
        if info.state != "active":
            raise Temporary(f"the engine is {info.state} in the swarm: {info.error}")
        return info


def run(node: Node, deadline: float) -> Info:
    """Join the swarm at the first boot, and return the engine's state in it.

    :param deadline: on the monotonic clock
    :raises NodeError: refused, or not possible in time
    """
    node.begin("swarm")
    if node.is_known:
        return node.docker.info()
    address = wait.until("own address", lambda: own_address(node.config), 60)
    joining = Joining(node, address)
    left = deadline - time.monotonic()
    what = "place in the swarm"
    return wait.until(what, joining.attempt, left, 2, node.say, code=Code.NOT_JOINED)
