# SPDX-License-Identifier: Apache-2.0
"""What a node reads: its configuration, who it is, and what engines and services answer."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

from magnum_swarm_mode.node.base import config, errors, openstack, system, web
from magnum_swarm_mode.node.base import docker as node_docker
from magnum_swarm_mode.node.base import node as node_module
from magnum_swarm_mode.node.base.paths import Paths
from magnum_swarm_mode.node.swarm import settings
from tests.fuzz import inputs
from tests.fuzz.harness import Target
from tests.fuzz.targets import docker as engines
from tests.unit.node import fakes

SERVER = fakes.SERVER
CONFIG: dict[str, Any] = fakes.config_json(
    managers={str(n): {"address": f"10.0.0.{n}", "floating_address": ""} for n in range(3)},
    cluster={"uuid": engines.CLUSTER, "name": "c"},
    engine={
        "mtu": 1450,
        "daemon": {"storage-driver": "overlay2"},
        "no_proxy": "10.0.0.0/8,.example.com",
        "http_proxy": "http://user:proxy-password@proxy.example.com:3128",
    },
)
_SIGNAL = {**CONFIG, "signal": json.loads(CONFIG["signal"])}
_META = {"uuid": SERVER, "name": "c-manager-0", "meta": {"docker_volume": "v"}}


class _Quiet(Target):
    """A node in a directory of its own, which says nothing."""

    refusals = (errors.NodeError,)
    # A node shortens what it tells Heat.
    longest = 100_000

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        known = set(errors.SECRETS)
        root = tempfile.mkdtemp(dir="/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None)
        try:
            with contextlib.redirect_stdout(io.StringIO()), self.serving():
                self.paths = Paths(root)
                for path in (self.paths.config, *self.paths.seeds, self.paths.log):
                    path.parent.mkdir(parents=True)
                self.paths.config.write_text(json.dumps(CONFIG))
                self.paths.seeds[0].write_text(json.dumps({"ds": {"meta_data": _META}}))
                yield
        finally:
            shutil.rmtree(root)
            errors.SECRETS.clear()
            errors.SECRETS.update(known)

    def serving(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def told(self, error: BaseException) -> str:
        # As it is said.
        return errors.line(str(error))


class Configuration(_Quiet):
    """The configuration's file, as bytes.

    Only ``NodeError`` leaves what reads it, and all that needs no network works with one that was
    read.
    """

    name = "node-config"
    depths = (node_module.Node.load, openstack.proxy_for)

    def inputs(self) -> inputs.Make:
        return inputs.documents(
            CONFIG, _SIGNAL, {**CONFIG, "role": "worker", "ca_certificate": "PEM"}
        )

    def read(self, data: bytes) -> Iterable[str]:
        self.paths.config.write_bytes(data)
        errors.SECRETS.clear()
        node = node_module.Node(self.paths)
        node.load()
        for index in node.config.indexes:
            assert isinstance(node.config.address(index), str)
        for url in (node.config.openstack_auth_url, node.config.signal["alarm_url"]):
            openstack.proxy_for(node.config, url)
        node.say("configuration")
        yield errors.redact("done")


class Identity(_Quiet):
    """What cloud-init and Nova left of the server, and what this program did, as bytes.

    Only ``NodeError`` leaves what reads them; what is known then is text.
    """

    name = "node-identity"
    depths = (node_module.Node.load, node_module.Node.say)

    def inputs(self) -> inputs.Make:
        own = {"uuid": SERVER, "name": "m", "docker_volume": ""}
        return inputs.documents({"ds": {"meta_data": _META}}, _META, own, {"instance-id": "i"})

    def read(self, data: bytes) -> Iterable[str]:
        for source in (self.paths.seeds[0], self.paths.identity):
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(data)
            node = node_module.Node(self.paths)
            try:
                node.load()
            except errors.NodeError as error:
                yield self.told(error)
            else:
                for one in (node.uuid, node.name, node.docker_volume):
                    assert isinstance(one, str)
                node.say("identity")
            source.unlink()


_GREETING = inputs.answer(b"OK", fields=("Api-Version: 1.45",))


class _Wire:
    """A connection whose other side answers in memory.

    :param respond: returns the answer to a request by its first line.
    """

    def __init__(self, respond: Callable[[bytes], bytes]) -> None:
        self._respond = respond
        self._answer = b""

    def settimeout(self, _: float) -> None:
        """Do nothing: no read waits."""

    def sendall(self, data: bytes) -> None:
        """Take a request in; its head comes as a whole, and before its body."""
        first = bytes(data[:400]).partition(b"\r\n")[0]
        if first.endswith(b" HTTP/1.1"):
            self._answer = self._respond(first)

    def makefile(self, _: str) -> io.BytesIO:
        """Return what the answer is read from."""
        return io.BytesIO(self._answer)

    def close(self) -> None:
        """End the connection."""


class _Served(_Quiet):
    """A server that answers each request with the same bytes.

    :ivar greets: whether a question for the version of the engine's API gets a good answer.
    """

    greets = False
    data = b""
    url = "http://10.0.0.7:2376"

    def serving(self) -> contextlib.AbstractContextManager[Any]:
        def connect(connection: Any) -> None:
            connection.sock = _Wire(self._respond)

        return mock.patch.object(http.client.HTTPConnection, "connect", connect)

    def _respond(self, first: bytes) -> bytes:
        return _GREETING if self.greets and b"/_ping" in first else self.data

    def each(self, *questions: Callable[[], Any]) -> Iterator[str]:
        """Ask, and yield what each refusal says.

        :raises NodeError: where all are refused; then the input is.
        """
        refused = 0
        for question in questions:
            try:
                question()
            except errors.NodeError as error:
                refused += 1
                yield self.told(error)
                if refused == len(questions):
                    raise


class Http(_Served):
    """An HTTP answer as bytes, to the node's only client.

    Only ``NodeError`` leaves it.
    """

    name = "node-http"
    depths = (web.request,)

    def inputs(self) -> inputs.Make:
        return inputs.answers(
            inputs.documents({"message": "no"}, {"error": {"message": "no"}}, INFO)
        )

    def read(self, data: bytes) -> Iterable[str]:
        self.data = data
        web.request("GET", f"{self.url}/x")
        return ()


INFO = engines.INFO
_SWARM = {"JoinTokens": {"Worker": "SWMTKN-1-w", "Manager": "SWMTKN-1-m"}, "ID": "x"}


class Engine(_Served):
    """Answers of an engine, the own one or another manager's, as bytes of HTTP.

    Only ``NodeError`` leaves what reads them.
    """

    name = "node-docker"
    depths = (node_docker.Docker.info, node_docker.Docker.tokens)

    def inputs(self) -> inputs.Make:
        one = {**INFO, **_SWARM, "Version": "26.1.5"}
        nodes = [engines.MANAGER, engines.NODE]
        return inputs.answers(inputs.documents(one, nodes, _SWARM, INFO))

    def read(self, data: bytes) -> Iterable[str]:
        self.data = data
        engine = node_docker.Docker(socket_path="")
        engine._url = self.url
        self.greets = False
        yield from self.each(engine.info, bool)
        self.greets = True
        engine = node_docker.Docker(socket_path="")
        engine._url = self.url
        yield from self.each(
            engine.info,
            engine.engine_version,
            engine.tokens,
            lambda: engine.find("/x"),
            lambda: [(one.in_raft, one.has_address("10.0.0.5")) for one in engine.nodes()],
        )


class Told(_Served):
    """The swarm's configs with settings for managers, as bytes of HTTP.

    Only ``NodeError`` leaves what reads them, and a configuration with what they say can be read
    or is refused.
    """

    name = "node-settings"
    depths = (settings.newest, config.parse)

    def inputs(self) -> inputs.Make:
        told = [
            {"openstack": {"auth_url": "http://x"}},
            {"api": {"port": 1}, "ca_certificate": "PEM"},
        ]
        data = inputs.documents(*told, cuts=False)

        def entry(one: str) -> dict[str, Any]:
            return {"ID": "c", "Spec": {"Name": f"{settings.LABEL}.3", "Data": one}}

        def inner(dice: inputs.Dice) -> bytes:
            return json.dumps([entry(base64.b64encode(data(dice)).decode())]).encode()

        outer = inputs.documents([entry("e30="), entry("eyJhIjoge319")])
        return inputs.answers(inputs.often((1, inner), (1, outer)))

    def read(self, data: bytes) -> Iterable[str]:
        self.data, self.greets = data, True
        node = node_module.Node(self.paths)
        node.load()
        node.docker._url, node.docker._socket = self.url, ""
        _, told = settings.newest(node)
        config.parse(settings.merged(system.read(self.paths.config), told))
        return ()


class Services(_Served):
    """Answers of Keystone, Magnum and Heat, as bytes of HTTP.

    Only ``NodeError`` leaves what reads them.
    """

    name = "node-openstack"
    depths = (openstack.cluster_status, openstack.sign)

    def inputs(self) -> inputs.Make:
        token = {"token": {"issued_at": "2026-11-29T17:00:00.000000Z", "user": {"id": "u"}}}
        magnum = {"pem": "-----BEGIN CERTIFICATE-----", "status": "CREATE_COMPLETE"}
        return inputs.answers(inputs.documents(token, magnum, {**token, **magnum}))

    def read(self, data: bytes) -> Iterable[str]:
        self.data = data
        told = {**CONFIG, "engine": {}, "signal": {**_SIGNAL["signal"], "auth_url": self.url}}
        told["signal"]["alarm_url"] = f"{self.url}/signal"
        told["openstack"] = {**CONFIG["openstack"], "auth_url": self.url, "magnum_url": self.url}
        known = config.parse(json.dumps(told))
        yield from self.each(
            lambda: openstack.check_clock(known, self.url),
            lambda: openstack.cluster_status(known),
            lambda: openstack.signal(known, SERVER, "SUCCESS", "", ""),
            lambda: openstack.sign(known, "csr"),
        )


TARGETS = (Configuration(), Identity(), Http(), Engine(), Told(), Services())
