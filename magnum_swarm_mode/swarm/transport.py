# SPDX-License-Identifier: Apache-2.0
"""One manager's Docker API over mutual TLS, and within a deadline.

Who owns a cluster owns its managers, so what they answer is not trusted: neither the time they
take nor the size of the answer is without bounds, and no proxy or credentials of the conductor's
environment are used.
"""

import contextlib
import dataclasses
import io
import ipaddress
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import docker
import requests
from docker import errors as docker_errors
from requests import adapters
from urllib3 import exceptions as urllib3_exceptions

from magnum_swarm_mode import exceptions

# Reading a thousand nodes takes about 2 MB, ten thousand tasks about 30 MB.
_LARGEST_ANSWER_BYTES = 128 * 1024 * 1024
_CHUNK_BYTES = 65536
# A manager that does not even accept the connection shall leave time for the others.
_CONNECT_SHARE = 0.5
_LEAST_SECONDS = 0.2
# docker-py wants a version before it can ask for one; every engine since 20.10 is asked for its
# own first. Engine 20.10 speaks 1.41, Engine 29 refuses what is below 1.44.
_FIRST_VERSION = "1.41"

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the conductor shows to managers and believes of them; PEM texts."""

    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)


def context_of(identity: Identity) -> ssl.SSLContext:
    """Return a TLS context that believes only the cluster's CA.

    OpenSSL takes the client's key only from a file. It gets one in memory where the system offers
    that, else one in a private directory that is gone before this returns.

    :raises Inconsistent: when the certificates in Magnum's store cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Certificates of Magnum's CA predate the stricter checks that Python 3.13 turned on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    try:
        context.load_verify_locations(cadata=identity.ca)
        with _as_file(f"{identity.certificate.strip()}\n{identity.key.strip()}\n") as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise exceptions.Inconsistent(
            "The cluster's certificates in Magnum's certificate store cannot be used.",
            f"TLS context: {error}",
        ) from error
    return context


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:  # mode 0700
        path = os.path.join(directory, "client.pem")  # noqa: PTH118
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(text)
        yield path


class BoundedAdapter(adapters.HTTPAdapter):
    """Sends requests that end by ``deadline``, a time of the monotonic clock in seconds."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.deadline = 0.0
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use the cluster's TLS context for every connection."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, *_: Any, **__: Any) -> None:
        """Demand a certificate of the cluster's CA, and load no other authority."""
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, request: Any, *_: Any, **__: Any) -> Any:
        """Send a request and read its whole answer within the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise requests.Timeout("no time left")
        response = super().send(
            request,
            stream=True,
            timeout=(max(left * _CONNECT_SHARE, _LEAST_SECONDS), left),
            verify=True,
            proxies={},
        )
        # A body that was read in bounded steps takes the place of the one that is still to come.
        body = io.BytesIO()
        try:
            for chunk in _pieces(response):
                body.write(chunk)
                if body.tell() > _LARGEST_ANSWER_BYTES:
                    raise requests.ConnectionError("the answer is too large")
                if time.monotonic() > self.deadline:
                    raise requests.Timeout("the answer takes too long")
        except BaseException:
            response.close()
            raise
        body.seek(0)
        bounded = requests.Response()
        bounded.status_code, bounded.reason = response.status_code, response.reason
        bounded.headers, bounded.url, bounded.request = response.headers, response.url, request
        bounded.encoding, bounded.raw = response.encoding, body
        return bounded


def _pieces(response: Any) -> Iterator[bytes]:
    """Yield an answer's body as it comes, so that the deadline is looked at between."""
    read = getattr(response.raw, "read1", None)
    if read is None:
        # urllib3 before 2.1 waits for whole pieces.
        yield from response.iter_content(_CHUNK_BYTES)
        return
    try:
        while piece := read(_CHUNK_BYTES, decode_content=True):
            yield piece
    except urllib3_exceptions.ReadTimeoutError as error:
        raise requests.Timeout(error) from error
    except (urllib3_exceptions.HTTPError, OSError) as error:
        raise requests.ConnectionError(error) from error


class Manager:
    """One manager's API; docker-py's client on an adapter of ours."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self.address = address
        self._url = f"https://{in_url(address)}:{port}"
        self._adapter = BoundedAdapter(context)
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
            version = self._connect(_FIRST_VERSION).version(api_version=False)["ApiVersion"]
            self._client = self._connect(version)
        return self._client

    def _connect(self, version: str) -> Any:
        client = docker.APIClient(base_url=self._url, version=version)
        client.trust_env = False
        client.mount("https://", self._adapter)
        return client

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept."""
        return self._client is not None

    def close(self) -> None:
        """End the connection that is kept."""
        self._adapter.close()
        self._client = None


def reason(error: BaseException) -> str:
    """Say in a few words why a call failed; never what the environment holds."""
    if isinstance(error, docker_errors.APIError):
        return str(error.explanation or error)[:200]
    if isinstance(error, requests.ConnectTimeout):
        return "does not accept the connection"
    if isinstance(error, requests.Timeout):
        return "does not answer in time"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS fails: {cause.reason or cause}"
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return cause.strerror[0].lower() + cause.strerror[1:]
    if isinstance(error, requests.ConnectionError):
        return "the connection breaks"
    return f"answers something unexpected ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it wraps; requests and urllib3 hide the cause in arguments."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        nested = [
            current.__cause__,
            current.__context__,
            getattr(current, "reason", None),
            *current.args,
        ]
        waiting.extend(item for item in nested if isinstance(item, BaseException))


def in_url(address: str) -> str:
    """Return an address as it stands in a URL."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return address
    return f"[{address}]" if version == 6 else address
