# SPDX-License-Identifier: Apache-2.0
"""The Docker API of a cluster's managers, over mutual TLS and within a deadline.

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
import threading
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import docker
import requests
from docker import errors as docker_errors
from requests import adapters
from urllib3 import exceptions as urllib3_exceptions

from magnum_swarm_mode import exceptions

PORT = 2376
# Reading a thousand nodes takes about 2 MB, ten thousand tasks about 30 MB.
_LARGEST_ANSWER_BYTES = 128 * 1024 * 1024
_CHUNK_BYTES = 65536
# A manager that does not even accept the connection shall leave time for the others.
_CONNECT_SHARE = 0.5
_LEAST_SECONDS = 0.2
_MANAGERS_WAITED = 3
# docker-py wants a version before it can ask for one; every engine since 20.10 is asked for its
# own first. Engine 20.10 speaks 1.41, Engine 29 refuses what is below 1.44.
_FIRST_VERSION = "1.41"

# What the engine says of a certificate, in Go's words.
_EXPIRED = "certificate has expired"

Answer = TypeVar("Answer")


class NoLeader(exceptions.Unavailable):
    """Managers answer, but too few of them to have a leader: the swarm has lost its quorum."""


class CertificatesExpired(exceptions.Unavailable):
    """Managers answer, but the swarm's own certificates have expired while they were off."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the conductor shows to managers and believes of them; PEM texts."""

    ca: str
    certificate: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Engine:
    """Versions of a manager's engine, as in ``docker version``."""

    version: str
    api_version: str


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


class _BoundedAdapter(adapters.HTTPAdapter):
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


class _Manager:
    """One manager's API; docker-py's client on an adapter of ours."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self.address = address
        self._url = f"https://{_in_url(address)}:{port}"
        self._adapter = _BoundedAdapter(context)
        self._client: Any = None

    def call(self, function: Callable[[Any], Answer], seconds: float) -> Answer:
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

    def close(self) -> None:
        self._adapter.close()
        self._client = None


class Swarm:
    """The managers of a cluster as one: whichever answers.

    Connections are kept, so that a poll every minute costs a request and not a handshake. One
    thread at a time uses it.

    :param addresses: of the managers, as the conductor reaches them.
    :param timeout: seconds that one manager gets to answer. All together get three times as long,
        so that a cluster with many dead managers does not hold up a poll for minutes.
    :ivar cluster: uuid of the cluster that they are the managers of, for what is told to them.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        identity: Identity,
        timeout: float,
        port: int = PORT,
        cluster: str = "",
    ) -> None:
        self.cluster = cluster
        context = context_of(identity)
        self._managers = [_Manager(address, port, context) for address in addresses]
        self._timeout = timeout
        self._lock = threading.Lock()

    def engine(self) -> Engine:
        """Return the versions of the engine of a manager that answers.

        :raises Unavailable: when none answers in time; says for each address why.
        """
        answer = self._ask(lambda client: client.version(api_version=False))
        return Engine(version=str(answer["Version"]), api_version=str(answer["ApiVersion"]))

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
        version = node["Version"]["Index"]
        self._ask(lambda client: client.update_node(node["ID"], version, dict(spec)))

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
                why = self._swarms_error(manager) if _is_in_no_swarm(error) else ""
                problems[manager.address] = why or _reason(error)
                leaderless = leaderless or _tells_no_leader(error)
                expired = expired or _EXPIRED in why
                manager.close()
            else:
                # Who answered is asked first next time.
                self._managers.remove(manager)
                self._managers.insert(0, manager)
                return answer
        sentence = _all_failed(problems)
        if leaderless:
            raise NoLeader(sentence)
        raise (CertificatesExpired if expired else exceptions.Unavailable)(sentence)

    def _swarms_error(self, manager: _Manager) -> str:
        """Return why a manager's engine is in no swarm; empty where it does not say."""
        with contextlib.suppress(Exception):
            info = manager.call(lambda client: client.info(), self._timeout)
            return str((info.get("Swarm") or {}).get("Error") or "")[:400]
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


def _reason(error: BaseException) -> str:
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


def _in_url(address: str) -> str:
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return address
    return f"[{address}]" if version == 6 else address


class Pool:
    """Keeps the connections of clusters that are asked again and again.

    :param size: of how many clusters at most.
    :param age: seconds after which certificates are read anew, for Magnum may have renewed them.
    """

    def __init__(self, size: int = 5000, age: float = 3600.0) -> None:
        self._size, self._age = size, age
        self._swarms: OrderedDict[tuple[Any, ...], tuple[float, Swarm]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], Swarm]) -> Swarm:
        """Return the swarm under ``key``, which names all that it depends on, or make it."""
        now = time.monotonic()
        with self._lock:
            born, swarm = self._swarms.get(key, (0.0, None))
            if swarm is not None and now - born < self._age:
                self._swarms.move_to_end(key)
                return swarm
        made = make()
        dropped = []
        with self._lock:
            if key in self._swarms:
                dropped.append(self._swarms.pop(key)[1])
            self._swarms[key] = (now, made)
            while len(self._swarms) > self._size:
                dropped.append(self._swarms.popitem(last=False)[1][1])
        for old in dropped:
            old.close()
        return made

    def forget(self, cluster_uuid: str) -> None:
        """Drop all connections of a cluster."""
        with self._lock:
            keys = [key for key in self._swarms if key and key[0] == cluster_uuid]
            dropped = [self._swarms.pop(key)[1] for key in keys]
        for old in dropped:
            old.close()


def url(address: str) -> str:
    """Return the Docker API's address as the docker command takes it in DOCKER_HOST."""
    return f"tcp://{_in_url(address)}:{PORT}"


def address_of(url: str) -> str:
    """Return the address in what :func:`url` made; empty where there is none."""
    return urllib.parse.urlsplit(url).hostname or ""
