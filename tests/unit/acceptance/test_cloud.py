# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import pathlib
import threading
from typing import Any

import fixtures
from oslotest import base

from acceptance.cloud import Cloud, Resource
from acceptance.errors import Broken
from acceptance.options import Options

# Paths of endpoints by the type of service.
SERVICES = {
    "compute": "/compute/v2.1",
    "container-infra": "/container-infra/v1",
    "identity": "/identity/v3",
    "network": "/network/v2.0",
    "orchestration": "/orchestration/v1/project",
    "block-storage": "/volume/v3/project",
}
CREDENTIALS = "GET /identity/v3/users/u/application_credentials"


class OpenStack(fixtures.Fixture):
    """All services at the wire; ``answers`` maps "METHOD /path" to status and body."""

    def _setUp(self) -> None:  # noqa: N802 (the name that fixtures call)
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {CREDENTIALS: (200, _credentials())}
        openstack = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = openstack.answer(
                    f"{self.command} {self.path}", json.loads(data) if data else None
                )
                self.send_response(status)
                self.send_header("X-Subject-Token", "t")
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                if body is not None:
                    self.wfile.write(json.dumps(body).encode())

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the names that the server calls)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        for name, value in {
            "AUTH_URL": f"{self.url}/identity/v3",
            "USERNAME": "demo",
            "PASSWORD": "p",
            "PROJECT_NAME": "demo",
            "USER_DOMAIN_NAME": "Default",
            "PROJECT_DOMAIN_NAME": "Default",
            "REGION_NAME": "R",
        }.items():
            self.useFixture(fixtures.EnvironmentVariable(f"OS_{name}", value))

    def answer(self, request: str, body: Any) -> tuple[int, Any]:
        if request == "POST /identity/v3/auth/tokens":
            return 201, {"token": self._token()}
        method, _, path = request.partition(" ")
        for where in SERVICES.values():
            # Version discovery.
            if method == "GET" and path.rstrip("/") == where:
                link = {"rel": "self", "href": self.url + where}
                version = where.split("/")[2]
                return 200, {"version": {"id": version, "status": "CURRENT", "links": [link]}}
        self.asked.append((request, body))
        return self.answers.get(request, (404, {}))

    def _token(self) -> dict[str, Any]:
        catalog = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"interface": "public", "region": "R", "region_id": "R", "url": self.url + path}
                ],
            }
            for kind, path in SERVICES.items()
        ]
        return {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "catalog": catalog,
            "roles": [],
        }


def _credentials(*names: str) -> dict[str, Any]:
    return {"application_credentials": [{"id": f"id-{name}", "name": name} for name in names]}


class CloudTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.openstack = self.useFixture(OpenStack())
        self.answers = self.openstack.answers
        self.cloud = Cloud()

    def test_resources(self):
        """Servers are recognized under any type, and so is what is nested."""
        path = "GET /orchestration/v1/project/stacks/s/resources?nested_depth=5"
        listed = [
            ("Mine::Worker", "server"),
            ("Mine::Port", "nested-stack"),
            ("OS::Neutron::Port", "port"),
            ("OS::Neutron::FloatingIP", ""),
            ("OS::Heat::Value", "value"),
        ]
        self.answers[path] = (
            200,
            {
                "resources": [
                    {"resource_type": kind, "physical_resource_id": ident} for kind, ident in listed
                ]
            },
        )
        self.answers["GET /compute/v2.1/servers"] = (200, {"servers": [{"id": "server"}]})
        self.assertEqual(
            [Resource("OS::Neutron::Port", "port"), Resource("OS::Nova::Server", "server")],
            self.cloud.resources("s"),
        )

    def test_left(self):
        """What is still there is named, with the stack and the cluster's credential."""
        resources = [Resource("OS::Nova::Server", "a"), Resource("OS::Nova::Server", "b")]
        self.assertEqual([], self.cloud.left("c", "s", resources))
        self.answers["GET /compute/v2.1/servers/a"] = (200, {"server": {"status": "ACTIVE"}})
        self.answers["GET /compute/v2.1/servers/b"] = (200, {"server": {"status": "DELETED"}})
        stack = "GET /orchestration/v1/project/stacks/s"
        self.answers[stack] = (200, {"stack": {"stack_status": "DELETE_FAILED"}})
        self.answers[CREDENTIALS] = (200, _credentials("other", "swarm-mode c"))
        self.assertEqual(
            ["Server a", "Stack s", "application credential id-swarm-mode c"],
            self.cloud.left("c", "s", resources),
        )

    def test_reboot(self):
        """The server of that name is rebooted."""
        for ident in ("a", "b"):
            self.answers[f"GET /compute/v2.1/servers/{ident}"] = (200, {"server": {"name": ident}})
        self.answers["POST /compute/v2.1/servers/b/action"] = (202, None)
        resources = [Resource("OS::Nova::Server", "a"), Resource("OS::Nova::Server", "b")]
        self.cloud.reboot("b", resources)
        action = ("POST /compute/v2.1/servers/b/action", {"reboot": {"type": "SOFT"}})
        self.assertIn(action, self.openstack.asked)
        self.assertRaises(Broken, self.cloud.reboot, "x", resources)

    def test_refusal(self):
        """A refusal of Magnum's is told in its own words; what is not there is none."""
        refusal = {"errors": [{"status": 400, "detail": "no such image"}]}
        self.answers["POST /container-infra/v1/clustertemplates"] = (400, refusal)
        options = Options(node_image="i", flavor="f", external_network="n")
        error = self.assertRaises(Broken, self.cloud.make_template, options)
        self.assertTrue(str(error).endswith("/clustertemplates: 400 no such image"), str(error))
        self.assertEqual({}, self.cloud.cluster("none"))
        self.cloud.delete_cluster("none")

    def test_client_files(self):
        """A new key is signed by the cluster's CA; only its owner may read it."""
        self.answers["GET /container-infra/v1/certificates/c"] = (200, {"pem": "CA"})
        self.answers["POST /container-infra/v1/certificates"] = (201, {"pem": "CERT"})
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.cloud.client_files("c", directory)
        self.assertEqual("CA", (directory / "ca.pem").read_text())
        self.assertEqual("CERT", (directory / "cert.pem").read_text())
        key = directory / "key.pem"
        self.assertIn("PRIVATE KEY", key.read_text())
        self.assertEqual(0o600, key.stat().st_mode & 0o777)

    def test_no_cloud(self):
        """Wrong credentials, or nobody there, are told in one sentence."""
        self.useFixture(fixtures.EnvironmentVariable("OS_AUTH_URL", "http://127.0.0.1:1/v3"))
        error = self.assertRaises(Broken, Cloud)
        self.assertIn("the cloud cannot be reached: ", str(error))
