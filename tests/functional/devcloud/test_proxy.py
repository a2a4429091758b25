# SPDX-License-Identifier: Apache-2.0
"""The servers' proxy: Squid itself, on the loopback network, before a mirror of the test's own."""

import http.client
import http.server
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import fixtures
from oslotest import base

from devcloud import commands, proxy, readiness, settings
from devcloud.proxy import Place, Upstream

CLIENT, OTHER = "127.0.0.30", "127.0.0.1"
HIT = "TCP_MEM_HIT/200"
START_SECONDS = 30.0


class Mirror(fixtures.Fixture):
    """A Debian mirror of one package; ``asked`` is what it was asked for."""

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self.asked: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"data")

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ProxyTest(base.BaseTestCase):
    """It needs root, and Squid as devcloud installs it."""

    def setUp(self) -> None:
        super().setUp()
        self.mirror = self.useFixture(Mirror())
        # Where the proxy's own user gets through, as in the cloud.
        settings.RUN.mkdir(parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(prefix="proxy-", dir=settings.RUN)
        self.addCleanup(directory.cleanup)
        Path(directory.name).chmod(0o711)
        self.place = Place(
            Path(directory.name) / "proxy", "127.0.0.1", free_port(), (CLIENT, CLIENT)
        )

    def _start(self, upstream: Upstream) -> None:
        proxy.prepare(upstream, self.place)
        service = proxy.service(self.place)
        process = subprocess.Popen(
            service.command,
            env=commands.clean_environment(),
            user=service.uid,
            group=service.uid,
            extra_groups=[],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        readiness.wait_until(
            lambda: readiness.answers(service.address),
            lambda: process.poll() is not None,
            "squid",
            START_SECONDS,
        )

    def _ask(self, url: str, method: str = "GET", source: str = CLIENT) -> int:
        connection = http.client.HTTPConnection(
            self.place.address, self.place.port, timeout=20, source_address=(source, 0)
        )
        try:
            connection.request(method, url)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def _log(self, last: str) -> list[str]:
        """Address, result, method and URL of each request, as soon as the last one is there.

        Squid writes a line down a moment after its answer.
        """
        for _ in range(100):
            rows = (line.split() for line in self.place.requests.read_text().splitlines())
            found = [" ".join((row[1], row[2], *row[4:])) for row in rows]
            if last in found:
                break
            time.sleep(0.1)
        return found

    def test_only_the_mirror_for_servers_only(self) -> None:
        """Servers read the mirror and nothing else, nobody else reads anything, all is logged."""
        mirror = f"http://localhost:{self.mirror.port}"
        package = f"{mirror}/debian/pool/p_1_all.deb"
        self._start(Upstream(f"{mirror}/debian"))
        self.assertEqual(200, self._ask(package))
        self.assertEqual(200, self._ask(package))
        self.assertEqual(["/debian/pool/p_1_all.deb"], self.mirror.asked, "it was not kept")
        self.assertEqual(403, self._ask(package, source=OTHER))
        self.assertEqual(403, self._ask(package, "POST"))
        self.assertEqual(403, self._ask(f"http://127.0.0.1:{self.mirror.port}/"))
        self.assertEqual(403, self._ask("http://localhost:1/debian"))
        self.assertEqual(403, self._ask("registry.example:443", "CONNECT"))
        self.assertEqual(1, len(self.mirror.asked))
        denied = f"{CLIENT} TCP_DENIED/403 CONNECT registry.example:443"
        log = self._log(denied)
        self.assertIn(denied, log)
        self.assertIn(f"{CLIENT} TCP_MISS/200 GET {package}", log)
        self.assertIn(f"{CLIENT} {HIT} GET {package}", log)
        self.assertIn(f"{OTHER} TCP_DENIED/403 GET {package}", log)

    def test_through_the_proxy_of_the_machine(self) -> None:
        """A machine behind a proxy of its own is asked through that one."""
        package = "http://mirror.example/debian/pool/p_1_all.deb"
        behind = f"http://user:secret@127.0.0.1:{self.mirror.port}"
        self._start(Upstream("https://mirror.example/debian", behind))
        self.assertEqual(200, self._ask(package))
        self.assertEqual([package], self.mirror.asked)
