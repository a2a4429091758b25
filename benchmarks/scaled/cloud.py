# SPDX-License-Identifier: Apache-2.0
"""The services that are not real, in one process; they count what they are asked.

Run as a module it listens until it is ended::

    python -m benchmarks.scaled.cloud BOOT JOIN

with the seconds in which a machine boots and then joins. ``/control`` belongs to the benchmark.
"""

import asyncio
import re
import ssl
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.scaled import wire
from benchmarks.scaled.compute import Compute
from benchmarks.scaled.docker import Docker
from benchmarks.scaled.identity import Identity, Token
from benchmarks.scaled.network import Network
from benchmarks.scaled.wire import Answer, Request

PORT, HEAT_PORT, DOCKER_PORT = 5000, 8004, 2376
URL = f"http://127.0.0.1:{PORT}"
HEAT_URL = f"http://127.0.0.1:{HEAT_PORT}/v1"
_IDENTIFIER = re.compile(r"/(?:[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-z]{24,64})\b")
IMAGE = "node-image"


class Cloud:
    """All of them behind one port, told apart by the first part of the path."""

    def __init__(self, boot: float, join: float) -> None:
        self._identity = Identity(
            f"{URL}/identity/v3",
            {
                "identity": f"{URL}/identity/v3",
                "compute": f"{URL}/compute/v2.1",
                "network": f"{URL}/network",
                "image": f"{URL}/image",
                "orchestration": f"{HEAT_URL}/%p",
                "container-infra": f"{URL}/magnum/v1",
            },
        )
        self._network, self._docker = Network(), Docker()
        self._compute = Compute(
            self._network, self._token_for, self._docker.join, self._docker.leave, boot, join
        )
        self._counts: Counter[str] = Counter()
        self._listening: asyncio.Task[Any] | None = None

    def _token_for(self, user: str) -> str:
        known = self._identity.things["users"].get(user) or {}
        project = known.get("default_project_id") or ""
        return self._identity.issue(Token(user, project, roles=("heat_stack_user",)))

    def answer(self, request: Request) -> Answer:
        """Answer a request to any service, and count it."""
        service, _, path = request.path.lstrip("/").partition("/")
        version, _, rest = path.partition("/")
        if service == "control":
            return self._control(request, path)
        kind = _IDENTIFIER.sub("/*", f"/{rest}").rstrip("/")
        self._counts[f"{service} {request.method} {kind}"] += 1
        inner = Request(request.method, f"/{rest}", request.query, request.headers, request.body)
        if service == "identity":
            return self._identity.answer(inner)
        if service == "compute":
            return self._compute.answer(inner)
        if service == "network" and version == "v2.0":
            return self._network.answer(inner)
        if service == "network":
            links = [{"rel": "self", "href": f"{URL}/network/v2.0"}]
            return Answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})
        if service == "image":
            return _image(inner, version)
        return Answer(404, {"error": f"no service {service}"})

    def docker(self, request: Request) -> Answer:
        """Answer a request to the managers."""
        kind = re.sub(r"/v1\.\d+", "", request.path)
        self._counts[f"docker {request.method} {_IDENTIFIER.sub('/*', kind)}"] += 1
        return self._docker.answer(request)

    def _control(self, request: Request, path: str) -> Answer:
        if path == "reset":
            self._docker.reset()
            self._network.count_from_the_first()
            return Answer(200, {})
        if path == "docker":
            self._listening = asyncio.get_running_loop().create_task(self._listen(request.body))
            return Answer(202, {})
        if path == "left":
            self._compute.sweep()
            left: dict[str, Any] = {"servers": len(self._compute.servers), **self._network.left()}
            left |= {kind: len(things) for kind, things in self._identity.things.items()}
            return Answer(200, {kind: count for kind, count in left.items() if count})
        reports = {f"answered {status}": n for status, n in self._compute.reports.items()}
        return Answer(200, {"requests": self._counts, "reports": reports})

    async def _listen(self, told: dict[str, str]) -> None:
        """Be the managers of a cluster, with a certificate of its own authority."""
        if self._server is not None:
            self._server.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            pair = Path(directory, "pair.pem")
            pair.write_text(told["pair"])
            context.load_cert_chain(pair)
        context.load_verify_locations(cadata=told["ca"])
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = await wire.serve(self.docker, DOCKER_PORT, context, "0.0.0.0")

    _server: asyncio.Server | None = None


def _image(request: Request, version: str) -> Answer:
    parts = request.path.strip("/").split("/")
    known = {"id": IMAGE, "name": IMAGE, "status": "active", "min_ram": 0, "min_disk": 0}
    if version != "v2":
        links = [{"rel": "self", "href": f"{URL}/image/v2/"}]
        return Answer(300, {"versions": [{"id": "v2.9", "status": "CURRENT", "links": links}]})
    if parts[0] == "schemas":
        return Answer(200, {"name": "image", "properties": {}})
    if len(parts) > 1:
        return Answer(200, {**known, "id": parts[1]})
    return Answer(200, {"images": [known]})


async def _main(boot: float, join: float) -> None:
    cloud = Cloud(boot, join)
    server = await wire.serve(cloud.answer, PORT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), float(sys.argv[2])))
