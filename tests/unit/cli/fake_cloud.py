# SPDX-License-Identifier: Apache-2.0
"""Keystone and Magnum as the command sees them: HTTP on the loopback address."""

from __future__ import annotations

import hashlib
import http.server
import json
import pathlib
import threading
import uuid
from collections.abc import Callable
from typing import Any
from urllib import parse

import fixtures

from tests.fakes.certificates import Authority

USER = "demo"
PASSWORD = "a-password-that-no-output-shows"
TOKEN = "a-token-that-no-output-shows"
CA_PEM = "-----BEGIN CERTIFICATE-----\nCA\n-----END CERTIFICATE-----\n"
CERT_PEM = "-----BEGIN CERTIFICATE-----\nCLIENT\n-----END CERTIFICATE-----\n"


class FakeCloud(fixtures.Fixture):
    """Serves both APIs and keeps every request that Magnum got.

    ``failures`` maps (method, path) to (status, body, content type) to answer instead.
    ``resized`` is called with the cluster and the request of each resize.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str, Any]] = []
        self.versions: set[str] = set()
        self.failures: dict[tuple[str, str], tuple[int, str, str]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.clusters: dict[str, dict[str, Any]] = {}
        self.quotas: dict[tuple[str, str], dict[str, Any]] = {}
        self.resized: Callable[[dict[str, Any], Any], None] = lambda cluster, body: None
        self.nodegroups: list[dict[str, Any]] = []
        self.has_object_store = False
        self.authority: Authority | None = None  # None: certificates that only look like some
        self.objects: dict[str, bytes] = {}  # container/object, as in the address

    def _setUp(self) -> None:  # noqa: N802
        cloud = self

        class Handler(_Handler):
            fake = cloud

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The OS_* variables of a user of this cloud."""
        return {
            "OS_AUTH_URL": f"{self.url}/identity/v3",
            "OS_USERNAME": USER,
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": "demo",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "RegionOne",
        }

    def write_clouds_yaml(self, directory: pathlib.Path, name: str) -> pathlib.Path:
        """Write a ``clouds.yaml`` that names this cloud and return its path."""
        auth = {
            "auth_url": f"{self.url}/identity/v3",
            "username": USER,
            "password": PASSWORD,
            "project_name": "demo",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        path = directory / "clouds.yaml"
        path.write_text(json.dumps({"clouds": {name: {"auth": auth, "region_name": "RegionOne"}}}))
        return path

    def sent(self, method: str, path: str) -> Any:
        """Return the body of the only request of that method to that path."""
        [body] = [body for m, p, body in self.requests if (m, p) == (method, path)]
        return body

    def add_template(self, **fields: Any) -> dict[str, Any]:
        """Make a template and return it."""
        made = {
            "uuid": str(uuid.uuid4()),
            "coe": "swarm-mode",
            "tls_disabled": False,
            "links": [{"href": "http://hidden"}],
            **fields,
        }
        self.templates[made["uuid"]] = made
        return made

    def add_cluster(self, **fields: Any) -> dict[str, Any]:
        """Make a cluster and return it."""
        made = {
            "uuid": str(uuid.uuid4()),
            "status": "CREATE_COMPLETE",
            "status_reason": None,
            "keypair": "fuel",
            "node_count": 8,
            "master_count": 3,
            "api_address": "tcp://172.24.4.30:2376",
            "links": [{"href": "http://hidden"}],
            **fields,
        }
        self.clusters[made["uuid"]] = made
        return made


class _Handler(http.server.BaseHTTPRequestHandler):
    fake: FakeCloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""

    def _answer(
        self, status: int, body: str, kind: str = "application/json", **headers: str
    ) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _json(self, status: int, body: Any, **headers: str) -> None:
        self._answer(status, json.dumps(body), **headers)

    def _error(self, status: int, title: str) -> None:
        # The form of Magnum's errors: magnum/api/middleware/parsable_error.py
        self._json(status, {"errors": [{"status": status, "title": title, "detail": title}]})

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        url = parse.urlsplit(self.path)
        if url.path.startswith("/object-store/"):
            return self._object(url.path.removeprefix("/object-store/"), length)
        raw = self.rfile.read(length)
        body = json.loads(raw) if raw else None
        if url.path.startswith("/identity"):
            return self._identity(body)
        path = url.path.removeprefix("/magnum/v1").rstrip("/")
        shown = path + (f"?{url.query}" if url.query else "")
        self.fake.requests.append((self.command, shown, body))
        self.fake.versions.add(self.headers.get("OpenStack-API-Version", ""))
        if (self.command, path) in self.fake.failures:
            return self._answer(*self.fake.failures[self.command, path])
        if self.headers.get("X-Auth-Token") != TOKEN:
            return self._error(401, "The request you have made requires authentication.")
        parts = path.strip("/").split("/")
        return getattr(self, f"_{parts[0]}")(parts[1:], body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _identity(self, body: Any) -> None:
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{self.fake.url}/identity/v3/"}],
        }
        if self.command == "GET":
            return self._json(200, {"version": version})
        user = body["auth"]["identity"]["password"]["user"]
        if (user["name"], user["password"]) != (USER, PASSWORD):
            message = "The request you have made requires authentication."
            return self._json(401, {"error": {"code": 401, "message": message}})
        endpoints = [
            {
                "interface": interface,
                "region": "RegionOne",
                "region_id": "RegionOne",
                "url": f"{self.fake.url}/magnum/v1",
            }
            for interface in ("public", "internal")
        ]
        token: dict[str, Any] = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": USER, "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "catalog": [
                {"id": "m", "type": "container-infra", "name": "magnum", "endpoints": endpoints}
            ],
        }
        if self.fake.has_object_store:
            stores = [{**one, "url": f"{self.fake.url}/object-store"} for one in endpoints]
            token["catalog"].append(
                {"id": "s", "type": "object-store", "name": "swift", "endpoints": stores}
            )
        return self._json(201, {"token": token}, X_Subject_Token=TOKEN)

    def _object(self, path: str, length: int) -> None:
        """Swift: containers and objects of a project."""
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        content = self._chunks() if chunked else self.rfile.read(length)
        if self.headers.get("X-Auth-Token") != TOKEN:
            return self._answer(401, "")
        if self.command == "PUT":
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if "/" in path:
                assert self.headers["ETag"] == digest
                self.fake.objects[path] = content
            return self._answer(201, "", ETag=digest)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.fake.objects[path])))
        self.end_headers()
        self.wfile.write(self.fake.objects[path])
        return None

    def _chunks(self) -> bytes:
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _find(self, things: dict[str, dict[str, Any]], name: str) -> dict[str, Any] | None:
        named = [thing for thing in things.values() if thing.get("name") == parse.unquote(name)]
        return things.get(name) or (named[0] if named else None)

    def _resource(
        self, kind: str, things: dict[str, dict[str, Any]], parts: list[str], body: Any
    ) -> None:
        if not parts or parts == ["detail"]:
            return self._json(200, {kind: list(things.values())})
        found = self._find(things, parts[0])
        if found is None:
            return self._error(404, f"{kind} {parts[0]} could not be found.")
        if self.command == "DELETE":
            del things[found["uuid"]]
            return self._answer(204, "")
        return self._json(200 if self.command == "GET" else 202, found)

    def _clustertemplates(self, parts: list[str], body: Any) -> None:
        if self.command == "POST":
            return self._json(201, self.fake.add_template(**body))
        return self._resource("clustertemplates", self.fake.templates, parts, body)

    def _clusters(self, parts: list[str], body: Any) -> None:
        if parts[1:] == ["actions", "resize"]:
            found = self._find(self.fake.clusters, parts[0])
            assert found is not None
            self.fake.resized(found, body)
            return self._json(202, {"uuid": found["uuid"]})
        if parts[1:2] == ["nodegroups"]:
            return self._json(200, {"nodegroups": self.fake.nodegroups})
        if self.command == "POST":
            made = self.fake.add_cluster(**body, status="CREATE_IN_PROGRESS", api_address=None)
            return self._json(202, {"uuid": made["uuid"]})
        return self._resource("clusters", self.fake.clusters, parts, body)

    def _certificates(self, parts: list[str], body: Any) -> None:
        if self.command == "POST":
            assert "BEGIN CERTIFICATE REQUEST" in body["csr"]
            authority = self.fake.authority
            signed = authority.sign(body["csr"]) if authority else CERT_PEM
            return self._json(201, {"pem": signed, "cluster_uuid": body["cluster_uuid"]})
        if self.command == "PATCH":
            return self._answer(202, "")
        authority = self.fake.authority
        pem = authority.pem if authority else CA_PEM
        return self._json(200, {"pem": pem, "cluster_uuid": parts[0]})

    def _mservices(self, parts: list[str], body: Any) -> None:
        service = {
            "id": 1,
            "host": "devcloud",
            "binary": "magnum-conductor",
            "state": "up",
            "disabled": False,
            "disabled_reason": None,
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-01-01T00:01:00+00:00",
            "report_count": 12,
        }
        self._json(200, {"mservices": [service]})

    def _stats(self, parts: list[str], body: Any) -> None:
        self._json(200, {"clusters": 1, "nodes": 11})

    def _quotas(self, parts: list[str], body: Any) -> None:
        quotas = self.fake.quotas
        if self.command == "POST":
            quotas[body["project_id"], body["resource"]] = body
            return self._json(201, body)
        if not parts:
            return self._json(200, {"quotas": list(quotas.values())})
        key = (parts[0], parts[1])
        if self.command == "DELETE":
            del quotas[key]
            return self._answer(204, "")
        if self.command == "PATCH":
            quotas[key] = body
        return self._json(200, quotas[key])
