# SPDX-License-Identifier: Apache-2.0
"""One manager's Docker API, as the conductor keeps it."""

import dataclasses
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.wire import answers, engine
from magnum_swarm_mode.wire.exchange import Adapter, in_url

__all__ = ["Answer", "Identity", "Manager", "context_of", "in_url", "reason"]

Answer = TypeVar("Answer")
reason = engine.reason


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the conductor shows to managers and trusts of theirs; PEM texts."""

    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)


def context_of(identity: Identity) -> ssl.SSLContext:
    """Return a TLS context that trusts only the cluster's CA.

    :raises Inconsistent: when the certificates in Magnum's store cannot be used.
    """
    try:
        return engine.tls_context(identity.ca, identity.certificate, identity.key)
    except (ssl.SSLError, ValueError) as error:
        raise exceptions.Inconsistent(
            "The cluster's certificates in Magnum's certificate store cannot be used.",
            f"TLS context: {error}",
        ) from error


class Manager:
    """One manager's API; docker-py's client on an adapter of ours.

    :param bounds: how large an answer may be.
    """

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext, bounds: answers.Bounds
    ) -> None:
        self.address = address
        self._adapter = Adapter(address, port, context, bounds)
        self._client: Any = None

    def call(self, function: Callable[[Any], Answer], seconds: float) -> Answer:
        """Return what a function of docker-py's client returns, within so many seconds."""
        self._adapter.deadline = time.monotonic() + seconds
        if self._client is not None:
            try:
                return function(self._client)
            except requests.Timeout:
                raise
            except requests.ConnectionError:
                # A kept connection may have been ended by the other side meanwhile.
                self.close()
        return function(self._open())

    def _open(self) -> Any:
        if self._client is None:
            self._client = engine.connect(self._adapter)
        return self._client

    def bound(self, bounds: answers.Bounds) -> None:
        """Say how large an answer may be from now on."""
        self._adapter.bounds = bounds

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        return self._client is not None

    def close(self) -> None:
        """End the connection that is kept."""
        self._adapter.close()
        self._client = None
