# SPDX-License-Identifier: Apache-2.0
import http.client
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devcloud.demo.rest import RestError, UnreachableError
from tests import lasting
from tests.endtoend import base, clusters, conductors, living, shared, tls
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker
from tests.endtoend.waiting import wait_for

NAME = "rotation"
MANAGERS, WORKERS = 3, 1
TIMEOUT = 480.0  # seconds for the rotation, on a busy machine
INTERVAL = 0.1  # seconds between two calls of the client
LONGEST_REFUSAL = 5.0  # seconds, all together


def fetch(cluster: Cluster, directory: Path) -> ssl.SSLContext:
    """What a client needs now: a key, its certificate and the CA, all fetched from Magnum."""
    cloud = cluster.user.cloud
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    body = {"cluster_uuid": cluster.uuid, "csr": csr}
    signed = cloud.call("POST", "container-infra", "/certificates", body)["pem"]
    ca = cloud.get("container-infra", f"/certificates/{cluster.uuid}")["pem"]
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    text = key.private_bytes(*form, serialization.NoEncryption()).decode()
    (directory / "client.pem").write_text(f"{signed}\n{text}")
    context = ssl.create_default_context(cadata=ca)
    context.load_cert_chain(directory / "client.pem")
    return context


@dataclass
class Client:
    """Asks for the swarm's nodes again and again, which needs a leader, over a new connection.

    :ivar failures: when and why a call failed, and how long it was until the next that did not.
    :ivar fetched: how often it fetched files, which it does when it is refused.
    """

    cluster: Cluster
    address: str
    directory: Path
    calls: int = 0
    fetched: int = 0
    failures: list[tuple[float, str, float]] = field(default_factory=list)
    _ends: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._context = fetch(self.cluster, self.directory)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()

    @property
    def refused(self) -> float:
        """Seconds without an answer, all together."""
        return sum(lasted for _, _, lasted in self.failures)

    def _run(self) -> None:
        since, why = 0.0, ""
        while not self._ends.is_set():
            problem = self._ask()
            now = time.monotonic()
            self.calls += 1
            if problem and not since:
                since, why = now, problem
            elif since and not problem:
                self.failures.append((since - self._began, why, now - since))
                since = 0.0
            if problem:
                try:
                    self._context = fetch(self.cluster, self.directory)
                    self.fetched += 1
                except (RestError, UnreachableError) as error:
                    why += f"; {error}"
            self._ends.wait(INTERVAL)
        if since:
            self.failures.append((since - self._began, why, time.monotonic() - since))

    def _ask(self) -> str:
        connection = http.client.HTTPSConnection(
            self.address, 2376, timeout=5, context=self._context
        )
        try:
            connection.request("GET", "/nodes")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            return "" if answer.status == 200 else f"{answer.status} {text[:100]}"
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()


class TestRotation(base.EndToEndTestCase):
    """openstack coe ca rotate, with a client at work and a conductor that dies."""

    beside = "lasting"

    def setUp(self) -> None:
        super().setUp()
        user = self.demo
        self.addCleanup(self._remove)
        clusters.make_template(user, NAME, image_id="debian-docker-26.1", labels=dict(clusters.SSH))
        self.cluster = clusters.ask_for(user, NAME, NAME, MANAGERS, WORKERS)
        self.cluster.wait("CREATE_COMPLETE")
        self.directory = self.temporary_directory()

    def _remove(self) -> None:
        found = clusters.find(self.demo, NAME)
        if found is not None:
            found.remove()
        if self.demo.cloud.find("container-infra", f"/clustertemplates/{NAME}") is not None:
            clusters.remove_template(self.demo, NAME)

    def docker(self, name: str) -> Docker:
        directory = self.directory / name
        directory.mkdir()
        return self.cluster.client(directory)

    def token(self, docker: Docker) -> str:
        return docker.run("swarm", "join-token", "--quiet", "worker").strip()

    def root(self, docker: Docker) -> str:
        """Swarm's own root certificate."""
        return docker.run("info", "--format", "{{.Swarm.Cluster.TLSInfo.TrustRoot}}").strip()

    def rotate(self) -> tuple[str, float]:
        """Rotate with a conductor that dies in the middle; the last reason, and the seconds."""
        began = time.monotonic()
        self.demo.run("openstack", "coe", "ca", "rotate", self.cluster.uuid)
        print(f"the command took {time.monotonic() - began:.1f} s", flush=True)
        reasons: list[tuple[float, str]] = []
        killed = False

        def look() -> tuple[str, str]:
            nonlocal killed
            seen = self.cluster.status()
            if not reasons or reasons[-1][1] != seen[1]:
                reasons.append((time.monotonic() - began, seen[1]))
                print(f"{reasons[-1][0]:.1f} s: {seen}", flush=True)
            if "step 2 of 5" in seen[1] and not killed:
                killed = True
                conductors.kill(conductors.at_work(self.cluster.uuid) or conductors.OWN)
            return seen

        status, reason = wait_for(
            "the certificates to be replaced",
            look,
            lambda seen: not seen[0].endswith("_IN_PROGRESS"),
            timeout=TIMEOUT,
            interval=0.5,
        )
        self.assertEqual("UPDATE_COMPLETE", status, reason)
        self.assertTrue(killed, reasons)
        return reason, time.monotonic() - began

    def test_rotation(self) -> None:
        """Files and tokens of before are refused at its end, a client notices less than five
        seconds of it, and the cluster can still grow."""
        old = self.docker("old")
        token, root = self.token(old), self.root(old)
        before = {node.ident for node in old.nodes()}
        asker = Client(self.cluster, old.address, self.directory)
        asker.start()
        self.addCleanup(asker.stop)

        reason, seconds = self.rotate()

        self.assertIn("fetch the client's files again", reason)
        asker.stop()
        print(
            f"rotated in {seconds:.1f} s; {asker.calls} calls, refused for "
            f"{asker.refused * 1000:.0f} ms: {asker.failures}",
            flush=True,
        )
        self.assertGreater(asker.calls, 100)
        self.assertLess(asker.refused, LONGEST_REFUSAL, asker.failures)
        self.assertGreater(asker.fetched, 0)

        files = [(old.directory / name).read_text() for name in ("cert.pem", "key.pem")]
        answers = [
            tls.ask(one.floating, certificate=files[0], key=files[1])
            for one in self.cluster.managers()
        ]
        self.assertEqual([tls.REFUSED] * MANAGERS, answers)
        self.assertIn("certificate", old.refused("node", "ls"))
        new = self.docker("new")
        for one in self.cluster.managers():
            self.assertEqual(before, {node.ident for node in new.at(one.floating).nodes()})
        self.assertNotEqual(root, self.root(new))
        self.assertNotEqual(token, self.token(new))

        change = living.resize(self.cluster, WORKERS + 1)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        shared.wait_until_whole(new, MANAGERS, WORKERS + 1)
        print(f"a worker more after {change.seconds:.1f} s", flush=True)
        self._refuses_token(new, token)
        lasting.shown(self, "rotation", seconds=seconds, refusals=f"{asker.refused * 1000:.0f} ms")

    def _refuses_token(self, docker: Docker, token: str) -> None:
        """A node that is not in the swarm does not get in with the old token."""
        worker = self.cluster.machine(self.cluster.workers()[-1])
        manager = f"{self.cluster.managers()[0].fixed}:2377"
        worker.run("docker swarm leave --force")
        said = worker.text(f"docker swarm join --token {token} {manager} 2>&1 || true")
        self.assertRegex(said, "invalid join token|remote CA does not match")
        worker.run(f"docker swarm join --token {self.token(docker)} {manager}")
