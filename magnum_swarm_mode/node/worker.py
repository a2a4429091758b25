# SPDX-License-Identifier: Apache-2.0
"""A worker's way into the swarm: asks the managers for the token of now, and joins."""

import random
import time
from typing import Callable, List, Tuple

from . import wait, web
from .config import Config
from .docker import Docker, Info
from .errors import NodeError, Temporary

PENDING_PATIENCE = 60.0  # seconds that an engine may go on joining by itself


def fetch(config: Config) -> Tuple[str, List[str]]:
    """Return the worker token and the addresses of living managers, from whichever manager answers.

    :raises Temporary: none gives them now
    :raises NodeError: every manager that answered refused this node's secret
    """
    context = web.tls(config.ca_certificate)
    refusals: List[str] = []
    others: List[str] = []
    for index in random.sample(sorted(config.managers), len(config.managers)):
        address = config.managers[index].address
        host = f"[{address}]" if ":" in address else address
        try:
            body = web.request(
                "POST",
                f"https://{host}:{config.join_port}/v1/worker-token",
                {"secret": config.join_secret},
                context=context,
            ).body
            return str(body["token"]), [str(item) for item in body["managers"]]
        except NodeError as error:
            (refusals if error.status == 401 else others).append(f"manager {index}: {error}")
        except (KeyError, TypeError):
            others.append(f"manager {index} does not answer as expected")
    if refusals and not others:
        raise NodeError("; ".join(refusals))
    raise Temporary("; ".join(refusals + others))


class Joining:
    """One worker on its way into the swarm; attempt() is one step.

    :param address: its own, advertised to the swarm
    """

    def __init__(
        self,
        config: Config,
        address: str,
        docker: Docker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._address = address
        self._docker = docker
        self._clock = clock
        self._since = 0.0

    def attempt(self) -> Info:
        """Return the engine's state once it is in the swarm.

        :raises Temporary: not yet, with the reason
        :raises NodeError: never
        """
        info = self._docker.info()
        if info.state == "active":
            return info
        if info.state == "pending" and self._clock() - self._since < PENDING_PATIENCE:
            raise Temporary("the engine is joining")
        if info.state != "inactive":
            self._docker.call("POST", "/swarm/leave?force=true")
        token, managers = fetch(self._config)
        self._since = self._clock()
        self._docker.call(
            "POST",
            "/swarm/join",
            {
                "ListenAddr": "0.0.0.0:2377",
                "AdvertiseAddr": self._address,
                "DataPathAddr": self._address,
                "RemoteAddrs": managers,
                "JoinToken": token,
            },
            timeout=90,
        )
        info = self._docker.info()
        if info.state != "active":
            raise Temporary(f"the engine is {info.state}: {info.error or 'no reason given'}")
        return info


def join(
    config: Config, address: str, docker: Docker, say: Callable[[str], None], timeout: float
) -> Info:
    """Join the swarm and return the engine's state in it.

    :param timeout: seconds
    :raises NodeError: refused, or not possible in time
    """
    joining = Joining(config, address, docker)

    def attempt() -> Info:
        try:
            return joining.attempt()
        except Temporary as error:
            say(str(error))
            raise

    return wait.until("place in the swarm", attempt, timeout, interval=2)
