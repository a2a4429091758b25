# SPDX-License-Identifier: Apache-2.0
"""A Magnum on the loopback interface that answers what a test says, and keeps what it was sent."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

CLUSTER = "5d12f6fd-a196-4bf0-ae4c-1f639a523a52"
TEMPLATE = "0562d357-8641-4759-8fed-8173f02c9633"
KUBERNETES = "a1136b04-5f36-4dca-a4ab-b7ca0ebcbb6b"
GROUP = "3e6c1f0e-7d0b-4e7b-8a0d-2f5d7d6cbb0a"


class FakeMagnum:
    """Serves answers by method and path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.requests: list[tuple[str, Any]] = []
        self.versions: list[str] = []
        self.location = ""
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                what = f"{self.command} {self.path}"
                fake.requests.append((what, body))
                fake.versions.append(self.headers.get("OpenStack-API-Version", ""))
                status, value = fake.answers.get(what, (404, refusal(404, f"No {what}.")))
                text = b"" if value is None else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                if fake.location:
                    self.send_header("Location", fake.location)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @property
    def heat(self) -> str:
        """The endpoint of a Heat, which answers as Magnum does."""
        return self.url.replace("/v1", "/heat/v1/project")

    def stop(self) -> None:
        """Close its port."""
        self.server.shutdown()
        self.server.server_close()


def refusal(status: int, sentence: str) -> dict[str, Any]:
    """Return an error as Magnum writes it."""
    return {"errors": [{"status": status, "title": sentence, "detail": sentence, "links": []}]}


def template(coe: str = "swarm-mode", uuid: str = TEMPLATE, **fields: Any) -> dict[str, Any]:
    """Return a cluster template as Magnum shows it."""
    return {"uuid": uuid, "name": f"{coe}-template", "coe": coe, "labels": {}, **fields}


def cluster(template_id: str = TEMPLATE, **fields: Any) -> dict[str, Any]:
    """Return a cluster as Magnum shows it."""
    return {
        "uuid": CLUSTER,
        "name": "swarm",
        "cluster_template_id": template_id,
        "status": "CREATE_COMPLETE",
        **fields,
    }
