# SPDX-License-Identifier: Apache-2.0
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any

from devcloud import settings
from devcloud.demo import rest
from tests.endtoend import base, doors, loot, shared, tls
from tests.endtoend.clusters import Cluster, Server
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

# What may listen on a worker: ssh, the swarm's gossip and the overlay's data path.
WORKER_PORTS = {"tcp 22", "tcp 7946", "udp 7946", "udp 4789"}
# How many connections to a manager's Docker API one address may have.
OF_ONE_ADDRESS, TOO_MANY = 400, 20
MANAGER_PORTS = WORKER_PORTS | {"tcp 2374", "tcp 2376", "tcp 2377", "tcp 2378"}


class TestDockerApi(base.EndToEndTestCase):
    """Whom the Docker API lets in."""

    def setUp(self) -> None:
        super().setUp()
        self.own = shared.demonstration()
        self.other = shared.plain()
        self.addresses = [one.floating for one in self.own.cluster.managers()]

    def test_own_certificate(self) -> None:
        """The cluster's own client certificate opens every manager, whose name it verifies."""
        for address in self.addresses:
            self.assertIn("Swarm: active", self.own.docker.at(address).run("info"))

    def test_no_certificate(self) -> None:
        """Without a client certificate, or without TLS, nothing can be read."""
        for address in self.addresses:
            self.assertEqual(tls.REFUSED, tls.ask(address))
            self.assertIn(tls.ask(address, encrypted=False)[:3], (tls.REFUSED[:3], "400"))
        directory = self.temporary_directory()
        (directory / "ca.pem").write_bytes((self.own.docker.directory / "ca.pem").read_bytes())
        client = Docker({**self.own.docker.variables, "DOCKER_CERT_PATH": str(directory)})
        self.assertNotIn("Swarm", client.refused("version"))

    def test_strangers_wait(self) -> None:
        """Connections without a handshake end soon; those of one address leave some to others."""
        address = self.addresses[0]
        with ExitStack() as stack:
            count = OF_ONE_ADDRESS + TOO_MANY
            tried = [tls.connect(address) for _ in range(count)]
            idle = [stack.enter_context(one) for one in tried if one]
            at_once = count - len(idle)
            began = time.monotonic()
            # HAProxy's threads take them in any order.
            refused = wait_for(
                "connections to be refused",
                lambda: at_once + len(tls.ended(idle)),
                lambda found: found >= TOO_MANY,
                timeout=5,
                interval=0.2,
            )
            # The conductor, and who used the API before, come from this address as well.
            self.assertLess(refused, 2 * TOO_MANY)
            # A node of the cluster comes from another address.
            worker = self.own.cluster.workers()[0]
            self.own.cluster.allow_ssh()
            program = f"import ssl\nprint(ssl.get_server_certificate(('{address}', 2376))[:27])\n"
            machine = self.own.cluster.machine(worker)
            said = machine.run("python3 -", stdin=program.encode()).decode()
            self.assertEqual("-----BEGIN CERTIFICATE-----", said.strip())
            wait_for(
                "all connections to end",
                lambda: len(tls.ended(idle)),
                lambda found: found == len(idle),
                timeout=20,
                interval=0.5,
            )
            self.assertLess(time.monotonic() - began, 25.0)

    def test_other_cluster(self) -> None:
        """A client certificate of another cluster's authority opens nothing."""
        directory = self.temporary_directory()
        for name, client in (
            ("ca.pem", self.own.docker),
            ("cert.pem", self.other.docker),
            ("key.pem", self.other.docker),
        ):
            (directory / name).write_bytes((client.directory / name).read_bytes())
        stranger = Docker({**self.own.docker.variables, "DOCKER_CERT_PATH": str(directory)})
        for address in self.addresses:
            stranger.at(address).refused("node", "ls")

    def test_closed_ports(self) -> None:
        """From outside only the Docker API answers; the engine's other ports are closed."""
        doors_tried = [
            (address, port)
            for address in self.addresses
            for port in (2374, 2375, 2377, 2378, 4789, 7946)
        ]
        with ThreadPoolExecutor(len(doors_tried)) as pool:
            found = pool.map(lambda door: tls.listens(*door), doors_tried)
            self.assertEqual(
                [], [door for door, opened in zip(doors_tried, found, strict=True) if opened]
            )


class TestClusterRules(base.EndToEndTestCase):
    """Security groups of a cluster are enforced on its ports."""

    def test_between_nodes(self) -> None:
        """A worker reaches a manager's swarm ports; a stranger in the same network does not."""
        swarm = shared.plain()
        manager = swarm.cluster.managers()[0]
        worker = swarm.cluster.workers()[0]
        stranger = shared.demonstration().cluster
        stranger.allow_ssh()
        outside = stranger.workers()[0]
        for cluster, source, expected in (
            (swarm.cluster, worker, {2374: False, 2377: True, 2378: True, 7946: True, 22: True}),
            (stranger, outside, {2374: False, 2377: False, 2378: False, 7946: False, 22: True}),
        ):
            self.assertEqual(expected, self._reached(cluster, source, manager.fixed))

    @staticmethod
    def _reached(cluster: Cluster, source: Server, address: str) -> dict[int, bool]:
        program = (
            "import socket\n"
            "for port in (2374, 2377, 2378, 7946, 22):\n"
            "    near = socket.socket()\n"
            "    near.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)\n"
            "    near.settimeout(3)\n"
            f"    print(port, int(near.connect_ex(('{address}', port)) == 0))\n"
            "    near.close()\n"
        )
        said = cluster.machine(source).run("python3 -", stdin=program.encode()).decode()
        pairs = (line.split() for line in said.splitlines())
        return {int(port): value == "1" for port, value in pairs}


@cache
def _loot(uuid: str) -> loot.Loot:
    """What is found on a worker of the plain cluster, collected once."""
    cluster = shared.plain().cluster
    assert cluster.uuid == uuid
    return loot.collect(cluster.machine(cluster.workers()[0]))


class TestWorker(base.EndToEndTestCase):
    """What somebody can do who is root on a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.swarm = shared.plain()
        self.machine = self.swarm.cluster.machine(self.swarm.cluster.workers()[0])
        self.loot = _loot(self.swarm.cluster.uuid)
        self.manager_token = self._token("manager")
        self.worker_token = self._token("worker")

    def _token(self, role: str) -> str:
        return self.swarm.docker.run("swarm", "join-token", "-q", role).strip()

    def test_finds_what_there_is(self) -> None:
        """The search itself works: it finds the configuration with the secrets that it has."""
        config = json.loads(self.loot.files["etc/magnum-swarm-mode/config.json"])
        signal = config["signal"]
        signal = json.loads(signal) if isinstance(signal, str) else signal
        self.assertIn(config["join"]["secret"], self.loot.secrets)
        self.assertIn(signal["password"], self.loot.secrets)
        self.assertIn(signal["user_id"], self.loot.idents)
        self.assertTrue(any("user_data" in name or "user-data" in name for name in self.loot.files))

    def test_keystone(self) -> None:
        """Of all identities and secrets only Heat's user for signals opens Keystone, and that
        user can do nothing but signal."""
        opened = doors.try_keystone(self.loot)
        self.assertEqual({("password", "heat")}, {(one.how, one.user_domain) for one in opened})
        self.assertEqual(1, len({one.user_id for one in opened}))
        self._only_signals(opened[0])

    def _only_signals(self, opened: doors.Opened) -> None:
        config = json.loads(self.loot.files["etc/magnum-swarm-mode/config.json"])
        signal = config["signal"]
        signal = json.loads(signal) if isinstance(signal, str) else signal
        identity = doors.password({"id": opened.user_id}, opened.secret)
        token = doors.attempt(identity, {"project": {"id": signal["project_id"]}})
        self.assertTrue(token)
        cloud = self.demo.cloud
        stack = self.swarm.cluster.stack()
        mine = f"{cloud.endpoint('orchestration')}/stacks/{stack['stack_name']}/{stack['id']}"
        magnum = cloud.endpoint("container-infra")
        uuid = self.swarm.cluster.uuid
        request = {"cluster_uuid": uuid, "csr": tls.signing_request()}
        credential = {"application_credential": {"name": "stolen"}}
        users = f"{settings.AUTH_URL}/users"
        tried: list[tuple[str, str, Any]] = [
            ("GET", f"{cloud.endpoint('orchestration')}/stacks", None),
            ("GET", mine, None),
            ("GET", f"{mine}/resources", None),
            ("GET", f"{mine}/template", None),
            ("GET", f"{mine}/environment", None),
            ("GET", f"{mine}/outputs", None),
            ("GET", f"{mine}/resources/join_secret", None),
            ("DELETE", mine, None),
            ("GET", f"{cloud.endpoint('compute')}/servers", None),
            ("GET", f"{cloud.endpoint('compute')}/os-keypairs", None),
            ("GET", f"{cloud.endpoint('block-storage')}/volumes", None),
            ("GET", f"{magnum}/clusters", None),
            ("GET", f"{magnum}/clusters/{uuid}", None),
            ("GET", f"{magnum}/clustertemplates", None),
            ("GET", f"{magnum}/certificates/{uuid}", None),
            ("POST", f"{magnum}/certificates", request),
            ("PATCH", f"{magnum}/certificates/{uuid}", None),
            ("GET", f"{magnum}/mservices", None),
            ("GET", users, None),
            ("GET", f"{users}/{self.demo.cloud.user_id}", None),
            # A credential of its own, which Keystone lets every user make, has its own rights only.
            ("POST", f"{users}/{self.demo.cloud.user_id}/application_credentials", credential),
            ("GET", f"{settings.AUTH_URL}/projects", None),
        ]
        granted = []
        for method, url, body in tried:
            if doors.status(method, url, token, body) < 400 and not self._empty(method, url, token):
                granted.append(f"{method} {url}")
        self.assertEqual([], granted)

    @staticmethod
    def _empty(method: str, url: str, token: str) -> bool:
        """Whether a list that may be asked for has nothing in it."""
        if method != "GET":
            return False
        found = rest.request("GET", url, None, {"X-Auth-Token": token})[0]
        return isinstance(found, dict) and not any(
            value for name, value in found.items() if name not in ("links",)
        )

    def test_tokens(self) -> None:
        """No secret is a token of Keystone or of any service."""
        url = f"{self.demo.cloud.endpoint('container-infra')}/clusters"
        opened = [secret for secret in self.loot.secrets if doors.status("GET", url, secret) < 400]
        self.assertEqual([], opened)

    def test_urls(self) -> None:
        """No URL that it finds brings anything that is secret, with any of its secrets."""
        config = json.loads(self.loot.files["etc/magnum-swarm-mode/config.json"])
        forbidden = (self.manager_token, "PRIVATE KEY-----", "application_credential_secret")
        for url in sorted(self.loot.urls):
            for secret in ("", config["join"]["secret"]):
                brought = doors.answer(url, secret)
                for word in forbidden:
                    self.assertNotIn(word, brought, url)

    def test_no_credential_of_managers(self) -> None:
        """Neither the managers' credential nor their token nor a key of the authority is there."""
        everything = "\n".join(self.loot.texts)
        self.assertNotIn(self.manager_token, everything)
        self.assertNotIn("application_credential_secret", self._configuration())
        authority = (self.swarm.docker.directory / "ca.pem").read_text(encoding="ascii")
        self.assertIn(authority.strip().splitlines()[1], everything)
        matching = [key for key in self.loot.keys if tls.belong_together(authority, key)]
        self.assertEqual([], matching)

    def _configuration(self) -> str:
        names = [
            name for name in self.loot.files if name.endswith(("config.json", "user-data.txt"))
        ]
        return "\n".join(self.loot.files[name].decode(errors="replace") for name in names)

    def test_docker_api(self) -> None:
        """No certificate and key that it finds opens the Docker API of its own managers."""
        pairs = [
            (certificate, key)
            for certificate in self.loot.certificates
            for key in self.loot.keys
            if tls.belong_together(certificate, key)
        ]
        self.assertTrue(pairs, "a worker has at least its swarm certificate")
        for address in (one.floating for one in self.swarm.cluster.managers()):
            for certificate, key in pairs:
                self.assertEqual(tls.REFUSED, tls.ask(address, certificate=certificate, key=key))

    def test_join_service(self) -> None:
        """The managers' join service gives no manager token, whatever is asked."""
        config = json.loads(self.loot.files["etc/magnum-swarm-mode/config.json"])
        secret, port = config["join"]["secret"], config["join"]["port"]
        bodies = [
            {"secret": secret},
            {"secret": secret, "role": "manager"},
            {"secret": secret, "node_group": "default-master"},
            {"secret": ""},
            {"secret": None},
            {},
        ]
        paths = ["/v1/worker-token", "/v1/worker-token?role=manager", "/v1/manager-token", "/"]
        requests = [(path, body) for path in paths for body in bodies[:3]]
        requests += [("/v1/worker-token", body) for body in bodies[3:]]
        address = config["managers"]["0"]["address"]
        script = "\n".join(
            f"curl -sk -m 5 -X POST -d '{json.dumps(body)}' 'https://{address}:{port}{path}'; "
            f"curl -sk -m 5 'https://{address}:{port}{path}'; sleep 0.6"
            for path, body in requests
        )
        # Packets of other programs than the node's own do not say that no router has passed them.
        hops = "sysctl -qw net.ipv4.ip_default_ttl="
        said = self.machine.text(f"{hops}255\n{script}\n{hops}64", timeout=180)
        self.assertIn("is ready in the swarm", said)
        self.assertNotIn(self.manager_token, said)
        self.assertNotRegex(said.replace(self.worker_token, ""), r"SWMTKN-")

    def test_listens(self) -> None:
        """A worker listens on nothing but ssh and the swarm's own ports, a manager on its APIs."""
        self.assertEqual(set(), self._listening(self.machine) - WORKER_PORTS)
        manager = self.swarm.cluster.machine(self.swarm.cluster.managers()[0])
        self.assertEqual(set(), self._listening(manager) - MANAGER_PORTS)

    @staticmethod
    def _listening(machine: Any) -> set[str]:
        found = set()
        for line in machine.text("ss -Hlntu").splitlines():
            words = line.split()
            address, _, port = words[4].rpartition(":")
            if not re.match(r"127\.|\[::1\]", address) and words[0] in ("tcp", "udp"):
                found.add(f"{words[0]} {port}")
        return found


class TestManagerCredential(base.EndToEndTestCase):
    """What somebody can do who has the managers' credential."""

    def setUp(self) -> None:
        super().setUp()
        self.swarm = shared.plain()
        self.other = shared.demonstration().cluster
        machine = self.swarm.cluster.machine(self.swarm.cluster.managers()[0])
        config = json.loads(machine.run("cat /etc/magnum-swarm-mode/config.json"))
        openstack = config["openstack"]
        self.token = doors.attempt(
            doors.application_credential(
                openstack["application_credential_id"],
                openstack["application_credential_secret"],
            )
        )
        self.assertTrue(self.token)
        self.magnum = self.demo.cloud.endpoint("container-infra")

    def _sign(self, body: dict[str, str]) -> str:
        """The certificate that a request brings; empty where it is refused."""
        request = {**body, "csr": tls.signing_request()}
        headers = {"X-Auth-Token": self.token}
        try:
            answer = rest.request("POST", f"{self.magnum}/certificates", request, headers)[0]
        except rest.RestError as error:
            if error.status >= 500:
                raise
            return ""
        return str(answer["pem"])

    def test_own_cluster(self) -> None:
        """It reads its own cluster, and has nothing signed without a manager's key."""
        uuid = self.swarm.cluster.uuid
        self.assertEqual("", self._sign({"cluster_uuid": uuid}))
        for path in (f"certificates/{uuid}", f"clusters/{uuid}"):
            self.assertEqual(200, doors.status("GET", f"{self.magnum}/{path}", self.token), path)

    def _authority(self) -> str:
        return (self.swarm.docker.directory / "ca.pem").read_text(encoding="ascii")

    def test_other_clusters(self) -> None:
        """It gets nothing signed for another cluster of its project and reads none."""
        own = self.swarm.cluster.uuid
        for other in (self.other.uuid, self.other.name):
            for body in (
                {"cluster_uuid": other},
                {"bay_uuid": other},
                {"cluster_uuid": f" {other}"},
                {"cluster_uuid": f"{other}/"},
                {"cluster_uuid": other.upper()},
            ):
                self.assertEqual("", self._sign(body), str(body))
            both = self._sign({"bay_uuid": other, "cluster_uuid": own})
            self.assertTrue(not both or tls.signed_by(both, self._authority()))
            for path in (
                f"certificates/{other}",
                f"clusters/{other}",
                f"certificates//{other}",
                f"certificates/{own}/../{other}",
                f"clusters/{own}/../{other}",
            ):
                status = doors.status("GET", f"{self.magnum}/{path}", self.token)
                self.assertGreaterEqual(status, 400, path)

    def test_nothing_else(self) -> None:
        """It can do nothing else in any service."""
        cloud = self.demo.cloud
        uuid = self.swarm.cluster.uuid
        user = f"{settings.AUTH_URL}/users/{cloud.user_id}" if cloud.token else ""
        credential = {"application_credential": {"name": "stolen"}}
        requests: list[tuple[str, str, Any]] = [
            ("GET", f"{self.magnum}/clusters", None),
            ("GET", f"{self.magnum}/clustertemplates", None),
            ("DELETE", f"{self.magnum}/clusters/{uuid}", None),
            ("PATCH", f"{self.magnum}/certificates/{uuid}", None),
            ("POST", f"{self.magnum}/clusters/{uuid}/actions/resize", {"node_count": 0}),
            ("GET", f"{cloud.endpoint('compute')}/servers", None),
            ("GET", f"{cloud.endpoint('orchestration')}/stacks", None),
            ("GET", f"{cloud.endpoint('network')}/v2.0/networks", None),
            ("GET", f"{cloud.endpoint('block-storage')}/volumes", None),
            ("GET", f"{cloud.endpoint('image')}/v2/images", None),
            ("GET", f"{settings.AUTH_URL}/projects", None),
            ("GET", user, None),
            ("GET", f"{user}/application_credentials", None),
            ("POST", f"{user}/application_credentials", credential),
        ]
        granted = [
            f"{method} {url}"
            for method, url, body in requests
            if doors.status(method, url, self.token, body) < 400
        ]
        self.assertEqual([], granted)
