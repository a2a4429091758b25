# SPDX-License-Identifier: Apache-2.0
import json
import re
import secrets
from functools import cache
from typing import Any

from devcloud.demo import rest
from tests.endtoend import base, doors, shared, users
from tests.endtoend.machines import Machine
from tests.endtoend.users import User
from tests.unit.admission.signing_requests import Maker

# Sends a request over TLS, with a time to live; prints status and body, or the error.
ASK = """
import http.client, json, socket, ssl, sys
for address, port, hops, path, body in json.loads({requests!r}):
    address, _, source = address.partition("<")
    sock = socket.socket()
    try:
        sock.bind((source, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        sock.settimeout(4)
        sock.connect((address, port))
        sock.settimeout(70)
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(address, port)
        connection.sock = context.wrap_socket(sock)
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        print(json.dumps([answer.status, answer.read().decode()]))
    except OSError as error:
        print(json.dumps([0, type(error).__name__]))
    finally:
        sock.close()
"""
# A network namespace behind the bridge of the engine: to the network it is a container.
CONTAINER = """
set -e
bridge=$(ip -4 -o address show docker0 | awk '{print $4}')
ip netns add attacker
ip link add attacker0 type veth peer name eth0 netns attacker
ip link set attacker0 master docker0 up
ip -n attacker link set lo up
ip -n attacker link set eth0 up
ip -n attacker address add "${bridge%.*}.250/${bridge#*/}" dev eth0
ip -n attacker route add default via "${bridge%/*}"
"""
REMOVE = "ip netns delete attacker 2>/dev/null; ip link delete attacker0 2>/dev/null; true"
TOKEN, CERTIFICATE = "/v1/worker-token", "/v1/certificate"


@cache
def _found(uuid: str) -> str:
    """Everything that Heat, Magnum and Nova show to a reader of the cluster's project."""
    cluster = shared.plain().cluster
    assert cluster.uuid == uuid
    name, password = f"reader-{secrets.token_hex(4)}", secrets.token_hex(16)
    admin = users.admin().cloud
    body = {"user": {"name": name, "password": password, "domain_id": "default"}}
    ident = admin.call("POST", "identity", "/users", body)["user"]["id"]
    try:
        (role,) = admin.get("identity", "/roles?name=reader")["roles"]
        project = admin.get("identity", "/projects?name=demo")["projects"][0]["id"]
        path = f"/projects/{project}/users/{ident}/roles/{role['id']}"
        admin.call("PUT", "identity", path)
        return _read(users.same_project(name, password), uuid, cluster.stack())
    finally:
        admin.call("DELETE", "identity", f"/users/{ident}")


def _read(reader: User, uuid: str, stack: Any) -> str:
    cloud = reader.cloud
    top = f"/stacks/{stack['stack_name']}/{stack['id']}"
    shown: list[Any] = [
        cloud.get("container-infra", f"/clusters/{uuid}"),
        cloud.get("compute", "/servers/detail"),
        *(cloud.get("orchestration", top + part) for part in ("", "/template", "/environment")),
        cloud.get("orchestration", f"{top}/events?nested_depth=5&limit=1000"),
    ]
    resources = cloud.get("orchestration", f"{top}/resources?nested_depth=5")["resources"]
    headers = {"X-Auth-Token": cloud.token}
    for one in resources:
        link = next(link["href"] for link in one["links"] if link["rel"] == "self")
        shown.append(rest.request("GET", link, None, headers)[0])
        if one["resource_type"] == "OS::Heat::SoftwareConfig":
            path = f"/software_configs/{one['physical_resource_id']}"
            shown.append(cloud.get("orchestration", path))
    refused = doors.status(
        "POST",
        f"{cloud.endpoint('container-infra')}/certificates",
        cloud.token,
        {"cluster_uuid": uuid, "csr": Maker().csr("reader")},
    )
    assert refused == 403, f"a reader has a certificate signed: {refused}"
    return json.dumps(shown)


class TestReader(base.EndToEndTestCase):
    """What somebody gains who may only read the project, with and without root on a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.swarm = shared.plain()
        self.text = _found(self.swarm.cluster.uuid)
        self.secret = self._secret(r"join\W+port\W+2378.{0,60}?secret")
        self.managers = self.swarm.cluster.managers()

    def _secret(self, name: str) -> str:
        match = re.search(name + r'\W+?": *\W*?([\w!@#%^&*-]{20,})', self.text)
        self.assertIsNotNone(match, f"the search does not find {name}, which Heat shows")
        assert match is not None
        return match[1]

    def _asked(
        self, machine: Machine, requests: list[tuple[str, int, int, str, object]], prefix: str = ""
    ) -> list[tuple[int, str]]:
        """Send requests from a machine; status and body of each, 0 where nobody answers."""
        program = ASK.format(requests=json.dumps(requests))
        said = machine.run(f"{prefix}python3 -", stdin=program.encode()).decode()
        return [tuple(json.loads(line)) for line in said.splitlines()]

    def test_credential(self) -> None:
        """With the managers' credential, which Heat shows, no certificate is signed."""
        identity = doors.application_credential(
            self._secret("application_credential_id"),
            self._secret("application_credential_secret"),
        )
        token = doors.attempt(identity)
        self.assertTrue(token, "what was found is not the credential")
        uuid = self.swarm.cluster.uuid
        url = f"{self.demo.cloud.endpoint('container-infra')}/certificates"
        for index in range(4):
            maker = Maker()
            csr = maker.csr(f"swarm-manager-{index}")
            for proof in ("", maker.proof(uuid, csr)):
                headers = {"X-Auth-Token": token, "X-Swarm-Mode-Proof": proof}
                error = self.assertRaises(
                    rest.RestError,
                    rest.request,
                    *("POST", url, {"cluster_uuid": uuid, "csr": csr}, headers),
                )
                self.assertEqual(403, error.status, error.body)
                self.assertIn("proves nothing by itself", error.body)

    def test_container(self) -> None:
        """A container on a node reaches neither worker tokens nor certificates."""
        for source in (self.swarm.cluster.workers()[0], self.managers[1]):
            machine = self.swarm.cluster.machine(source)
            self.addCleanup(machine.run, REMOVE)
            machine.run(REMOVE)
            machine.run(CONTAINER)
            address = self.managers[0].fixed
            body = {"secret": self.secret, "csr": Maker().csr("swarm-manager-1")}
            requests: list[tuple[str, int, int, str, object]] = [
                (address, port, hops, path, body)
                for port, path in ((2378, TOKEN), (2374, CERTIFICATE))
                for hops in (64, 255)
            ]
            # The namespace does reach managers: what is closed is closed to it.
            requests.append((address, 2376, 64, "/info", {}))
            *closed, open_one = self._asked(machine, requests, "ip netns exec attacker ")
            self.assertEqual([(0, "TimeoutError")] * 4, closed, source.name)
            self.assertNotEqual("TimeoutError", open_one[1])

    def test_own_host(self) -> None:
        """Nothing on a manager gets anything of that manager's own ports."""
        manager = self.managers[0]
        machine = self.swarm.cluster.machine(manager)
        self.addCleanup(machine.run, REMOVE)
        machine.run(REMOVE)
        machine.run(CONTAINER)
        bridge = machine.text("ip -4 -o address show docker0 | awk '{print $4}'").partition("/")[0]
        body = {"secret": self.secret, "csr": Maker().csr("swarm-manager-9")}

        def requests(*addresses: str) -> list[tuple[str, int, int, str, object]]:
            return [
                (address, port, 255, path, body)
                for address in addresses
                for port, path in ((2378, TOKEN), (2374, CERTIFICATE))
            ]

        inside = self._asked(machine, requests(bridge, manager.fixed), "ip netns exec attacker ")
        local = ("127.0.0.1<127.0.0.2", f"{manager.fixed}<{bridge}", manager.fixed)
        outside = self._asked(machine, requests(*local))
        self.assertEqual([403] * 10, [status for status, _ in (*inside, *outside)])

    def test_worker(self) -> None:
        """Root on a worker gets no second worker token, and reaches no manager's certificates."""
        machine = self.swarm.cluster.machine(self.swarm.cluster.workers()[0])
        body = {"secret": self.secret, "csr": Maker().csr("swarm-manager-1")}
        address = self.managers[0].fixed
        token, certificate = self._asked(
            machine,
            [(address, 2378, 255, TOKEN, body), (address, 2374, 255, CERTIFICATE, body)],
        )
        self.assertEqual(409, token[0], token[1])
        self.assertEqual((0, "TimeoutError"), certificate)

    def test_manager(self) -> None:
        """Who can send from a manager, without being root, gets no certificate of another key."""
        machine = self.swarm.cluster.machine(self.managers[1])
        body = {"secret": self.secret, "csr": Maker().csr("swarm-manager-1")}
        request = (self.managers[0].fixed, 2374, 255, CERTIFICATE, body)
        ((status, said),) = self._asked(machine, [request])
        self.assertEqual(409, status, said)
        self.assertIn("has a certificate already", said)
