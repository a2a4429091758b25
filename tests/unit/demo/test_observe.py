# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import threading
from typing import Any

from oslotest import base

from devcloud.demo import observe, rest

UUID = "5d3f1c1e-7f37-4f3a-9a68-3f3b8d7c0001"
STACK = {"stack_name": f"swarm-mode-{UUID}", "id": "stack-id"}


class FakeCloud(base.BaseTestCase):
    """Answers what a test put into ``answers`` ("METHOD path": (status, JSON))."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str | None]] = []
        case = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked = f"{self.command} {self.path}"
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                case.asked.append((asked, self.headers.get("X-Auth-Token")))
                status, body = case.answers.get(asked, (404, {"error": asked}))
                self.send_response(status)
                if asked.endswith("/auth/tokens"):
                    tokens = sum(one.endswith("/auth/tokens") for one, _ in case.asked)
                    self.send_header("X-Subject-Token", f"token-{tokens}")
                data = json.dumps(body).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"
        catalog = [
            {
                "type": name,
                "endpoints": [
                    {"interface": "public", "region_id": "R", "url": f"{self.url}/{name}/"},
                    {"interface": "public", "region_id": "Q", "url": "http://192.0.2.1/"},
                    {"interface": "internal", "region_id": "R", "url": "http://192.0.2.2/"},
                ],
            }
            for name in ("compute", "orchestration", "container-infra")
        ]
        self.answers["POST /v3/auth/tokens"] = (
            201,
            {"token": {"catalog": catalog, "project": {"id": "p"}, "user": {"id": "u"}}},
        )
        self.cloud = rest.Cloud(
            {
                "OS_AUTH_URL": self.url,
                "OS_USERNAME": "demo",
                "OS_PASSWORD": "demo",
                "OS_PROJECT_NAME": "demo",
                "OS_REGION_NAME": "R",
            }
        )


class TestRest(FakeCloud):
    def test_endpoint(self) -> None:
        """The public endpoint of the region is used."""
        self.assertEqual(f"{self.url}/compute", self.cloud.endpoint("compute"))

    def test_expired_token(self) -> None:
        """A token that is refused is fetched anew once, and then the refusal is final."""
        self.answers["GET /compute/servers"] = (401, {})
        error = self.assertRaises(rest.RestError, self.cloud.get, "compute", "/servers")
        self.assertEqual(401, error.status)
        self.assertEqual(
            ["token-1", "token-2"], [token for asked, token in self.asked if "servers" in asked]
        )

    def test_find(self) -> None:
        """What is not there is None; another refusal is raised with what the service said."""
        self.assertIsNone(self.cloud.find("compute", "/nothing"))
        self.answers["GET /compute/forbidden"] = (403, {"why": "because"})
        error = self.assertRaises(rest.RestError, self.cloud.find, "compute", "/forbidden")
        self.assertIn("because", str(error))

    def test_unreachable(self) -> None:
        """Nobody there is an error of its own."""
        self.assertRaises(
            rest.UnreachableError, rest.request, "GET", "http://127.0.0.1:1/", timeout=1
        )


class TestLook(FakeCloud):
    def test_no_cluster(self) -> None:
        """A cluster that does not exist is None."""
        self.assertIsNone(observe.look(self.cloud, "swarm"))

    def test_no_node_groups(self) -> None:
        """A cluster that Magnum cannot show yet is something to wait for, not a refusal."""
        body = {"errors": [{"title": "Invalid input for field/attribute master_count"}]}
        self.answers["GET /container-infra/clusters/swarm"] = (400, body)
        self.assertRaises(rest.UnreachableError, observe.look, self.cloud, "swarm")

    def test_before_the_stack(self) -> None:
        """Before Heat has a stack, the wanted numbers are known and nothing else."""
        self._cluster()
        self.answers[f"GET /orchestration/stacks?name=swarm-mode-{UUID}"] = (200, {"stacks": []})
        seen = observe.look(self.cloud, "swarm")
        assert seen is not None
        self.assertEqual((5, 0, 0), (seen.nodes_wanted, seen.servers_asked, seen.resources))

    def test_half_made(self) -> None:
        """Counted are this stack's servers, Heat's resources, signals by role and failures."""
        self._cluster()
        self.answers[f"GET /orchestration/stacks?name=swarm-mode-{UUID}"] = (
            200,
            {"stacks": [STACK]},
        )
        self.answers["GET /compute/servers/detail"] = (
            200,
            {
                "servers": [
                    {"id": "s1", "status": "ACTIVE"},
                    {"id": "s2", "status": "BUILD"},
                    {"id": "foreign", "status": "ACTIVE"},
                ]
            },
        )
        prefix = f"/orchestration/stacks/{STACK['stack_name']}/{STACK['id']}/resources"
        self.answers[f"GET {prefix}?nested_depth=5"] = (
            200,
            {
                "resources": [
                    self._resource(
                        "managers",
                        "OS::Heat::ResourceGroup",
                        "g",
                        "CREATE_FAILED",
                        "resources.managers: no host",
                    ),
                    self._resource("0", "OS::Nova::Server", "s1", "CREATE_COMPLETE"),
                    self._resource("1", "OS::Nova::Server", "s2", "CREATE_FAILED", "no host"),
                    self._resource("manager_handle", observe.HANDLE, "h1", "CREATE_COMPLETE"),
                    self._resource("worker_handle", observe.HANDLE, "h2", "CREATE_COMPLETE"),
                ]
            },
        )
        nested = "/orchestration/stacks/n-{0}/i/resources/{0}/metadata"
        self.answers["GET " + nested.format("manager_handle")] = (
            200,
            {"metadata": {"s1": {"status": "SUCCESS"}, "s2": {"status": "FAILURE"}}},
        )
        self.answers["GET " + nested.format("worker_handle")] = (200, {"metadata": {}})
        seen = observe.look(self.cloud, "swarm")
        assert seen is not None
        self.assertEqual((2, 1), (seen.servers_asked, seen.servers_running))
        self.assertEqual((5, 3), (seen.resources, seen.resources_done))
        self.assertEqual((1, 0), (seen.managers_joined, seen.workers_joined))
        self.assertEqual(("1: no host", "managers: resources.managers: no host"), seen.failures)

    def _cluster(self) -> None:
        self.answers["GET /container-infra/clusters/swarm"] = (
            200,
            {
                "uuid": UUID,
                "status": "CREATE_IN_PROGRESS",
                "status_reason": None,
                "master_count": 3,
                "node_count": 2,
            },
        )

    @staticmethod
    def _resource(
        name: str, kind: str, ident: str, status: str, reason: str = ""
    ) -> dict[str, Any]:
        return {
            "resource_name": name,
            "resource_type": kind,
            "physical_resource_id": ident,
            "resource_status": status,
            "resource_status_reason": reason,
            "links": [
                {
                    "rel": "self",
                    "href": f"http://192.0.2.3/v1/p/stacks/n-{name}/i/resources/{name}",
                },
                {"rel": "stack", "href": f"http://192.0.2.3/v1/p/stacks/n-{name}/i"},
            ],
        }
