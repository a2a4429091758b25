# SPDX-License-Identifier: Apache-2.0
"""docker-py's client of one engine, on a transport that trusts nothing of what is answered."""

import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from typing import Any

import docker
import requests
from docker import auth
from docker import errors as docker_errors
from docker.utils.proxy import ProxyConfig

from magnum_swarm_mode import text
from magnum_swarm_mode.wire import exchange

# Engine 20.10 speaks 1.41, which is the oldest that is tested; Engine 29 speaks 1.52, the newest,
# and refuses what is below 1.44. Every engine says for itself, in a request without a version.
OLDEST, NEWEST = (1, 41), (1, 52)
_API = re.compile(r"(\d{1,3})\.(\d{1,3})")
# TLS 1.3 has no others.
AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20"
_LONGEST_REASON = 200


def tls_context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return a TLS context that trusts only one authority and shows a certificate; all PEM.

    OpenSSL takes the client's key only from a file. It gets one in memory where the system offers
    that, else one in a private directory that is gone before this returns.

    :raises ssl.SSLError, ValueError: when they cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(AEAD)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Certificates of Magnum's CA predate the stricter checks that Python 3.13 turned on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    context.load_verify_locations(cadata=authority)
    with _as_file(f"{certificate.strip()}\n{key.strip()}\n") as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _as_file(content: str) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:  # mode 0700
        path = os.path.join(directory, "client.pem")  # noqa: PTH118
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(content)
        yield path


def connect(adapter: exchange.Adapter) -> Any:
    """Return docker-py's client on an adapter, in a version of the API that both sides know.

    :raises requests.RequestException: when the engine does not answer as it should.
    """
    told = _client(adapter, OLDEST).version(api_version=False)
    return _client(adapter, _common(told))


def _common(told: Any) -> tuple[int, int]:
    """Return the newest version of the API that is tested and that the engine speaks."""
    own = told if isinstance(told, dict) else {}
    spoken = _API.fullmatch(str(own.get("ApiVersion"))[:16])
    least = _API.fullmatch(str(own.get("MinAPIVersion", "1.0"))[:16])
    if spoken is None or least is None:
        raise exchange.Rejected("it tells no version of its API")
    common = min((int(spoken[1]), int(spoken[2])), NEWEST)
    if common < OLDEST or common < (int(least[1]), int(least[2])):
        raise exchange.Rejected(
            f"it speaks versions {least[0]} to {spoken[0]} of its API, of which none is among "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        )
    return common


class _Client(docker.APIClient):
    """docker-py's client, whose streams end in time like everything else."""

    _general_configs: Any
    _proxy_configs: Any
    _auth_configs: Any

    def _get_raw_response_socket(self, response: Any) -> None:
        """Have no socket that docker-py could take the timeout of."""

    def _disable_socket_timeout(self, socket: Any) -> None:
        """Leave timeouts as they are."""


def _client(adapter: exchange.Adapter, version: tuple[int, int]) -> Any:
    client = _Client(base_url=adapter.url, version=f"{version[0]}.{version[1]}")
    # Nothing of the environment: no proxy, no .netrc, and what Docker's own configuration file
    # says of headers, proxies and registries.
    client.trust_env = False
    client._general_configs = {}
    client._proxy_configs = ProxyConfig()
    client._auth_configs = auth.AuthConfig({})
    client.adapters.clear()
    client.mount(f"{adapter.url}/", adapter)
    return client


def reason(error: BaseException) -> str:
    """Say in a few words why a call failed; never what the environment holds."""
    if isinstance(error, docker_errors.APIError):
        return text.line(error.explanation or error, _LONGEST_REASON)
    if isinstance(error, exchange.Rejected):
        return str(error)
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
    """Yield an error and all it wraps; requests hides the cause in arguments."""
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
