# SPDX-License-Identifier: Apache-2.0
import datetime
import functools
import json
import operator
import secrets
import ssl
import threading
import time
from collections.abc import Mapping

from cryptography import x509

from devcloud import infrastructure, processes, releases, settings
from devcloud.demo.rest import RestError
from magnum_swarm_mode.decisions.record import Kind, State
from magnum_swarm_mode.node.swarm import manager as node_manager
from tests import documented, lasting
from tests.endtoend import (
    base,
    clusters,
    conductors,
    doors,
    living,
    shared,
    switched_off,
    tls,
    users,
)
from tests.endtoend.clusters import Cluster
from tests.endtoend.docker import Docker
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

PAGE = "doc/source/user/rotation.rst"
NAME = "credentials"
MANAGERS, MORE = 3, 5
RECORD = "SELECT state FROM {}.swarm_mode_cluster WHERE cluster_uuid = '{}';"
CONFIG = "cat /etc/magnum-swarm-mode/config.json"
# A manager whose certificate lacks names has another one signed at once.
RENEW = r"""
python3 - <<'END'
import json, pathlib
path = pathlib.Path("/etc/magnum-swarm-mode/manager.pem")
facts, _, pair = path.read_text().partition("\n")
path.write_text(json.dumps({**json.loads(facts), "names": []}) + "\n" + pair)
END
systemctl start magnum-swarm-renew.service
"""


# Magnum counts the life of certificates in days; those that such a conductor signs for the cluster
# live for seconds.
LIFE = 120
SHORT_LIVED = f"""
import datetime
from cryptography import x509
original = x509.CertificateBuilder.not_valid_after
def soon(self, time):
    if any(one.value.startswith("{NAME}") for one in self._issuer_name):
        time = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds={LIFE})
    return original(self, time)
x509.CertificateBuilder.not_valid_after = soon
"""


class Asker(threading.Thread):
    """Asks the managers in turn, each time over new connections, and notes what is not in order.

    :ivar served: address to when each of its certificates was first seen.
    """

    def __init__(self, docker: Docker, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self._pair = [
            (docker.directory / name).read_text(encoding="ascii")
            for name in ("cert.pem", "key.pem")
        ]
        self._addresses = addresses
        self._end = threading.Event()
        self.answered = 0
        self.refused: list[str] = []
        self.served: dict[str, dict[str, float]] = {one: {} for one in addresses}

    def run(self) -> None:
        """Ask every 100 ms."""
        certificate, key = self._pair
        while not self._end.wait(0.1):
            address = self._addresses[self.answered % len(self._addresses)]
            try:
                said = tls.ask(address, "/_ping", certificate=certificate, key=key)
            except OSError as error:
                said = str(error)
            self.answered += 1
            if not said.startswith("200"):
                self.refused.append(f"{address}: {said}")
            self._look(address)

    def _look(self, address: str) -> None:
        """Note another certificate, and one that has expired."""
        served = _certificate(address)
        if not served:
            return
        self.served[address].setdefault(served, time.monotonic())
        expires = x509.load_pem_x509_certificate(served.encode()).not_valid_after_utc
        if expires < datetime.datetime.now(datetime.UTC):
            self.refused.append(f"{address} serves a certificate that expired at {expires}")

    def end(self) -> None:
        """Stop asking."""
        self._end.set()
        self.join()


class TestASwitchedOff(base.EndToEndTestCase):
    """A swarm whose own certificates expired while it was off; on an engine alone."""

    beside = "lasting"

    def test_found_anew(self) -> None:
        """A node's certificate lives for two years. When it has expired the engine says so, and the
        documented commands bring the manager back with what the swarm knew."""
        helping = [command for command in documented.commands(PAGE) if command.startswith("sudo ")]
        spec = {"CAConfig": {"NodeCertExpiry": node_manager.NODE_LIFE}}
        began = time.monotonic()
        seen = switched_off.run("docker-26.1", spec, helping)
        self.assertIn(seen["days"], ("729", "730"))
        self.assertIn("This node is not a swarm manager", seen["nodes"])
        self.assertIn("certificate has expired", seen["error"])
        self.assertEqual(seen["before"], seen["after"])
        self.assertEqual("kept", seen["secrets"])
        lasting.shown(self, "switched-off", seconds=time.monotonic() - began)


class TestCredentials(base.EndToEndTestCase):
    """A member of the project takes a cluster over whose creator has left it."""

    beside = "lasting"

    def test_taken_over(self) -> None:
        """The creator has lost his role; another member rotates the credential: the former one is
        of no use, managers have certificates signed with the new one, also those that come later.
        Certificates that live for seconds are renewed in time, one after the other. Meanwhile no
        request to the API is refused; nothing stays behind."""
        creator, ident = self._creator()
        clusters.make_template(creator, NAME, image_id="debian-docker-26.1", labels=clusters.SSH)
        made = clusters.ask_for(creator, NAME, NAME, MANAGERS, 0)
        self.addCleanup(self._clean_up)
        made.wait("CREATE_COMPLETE")
        cluster = Cluster(self.demo, NAME, made.uuid)
        former = [self._credential(cluster, manager) for manager in cluster.managers()]
        self.assertTrue(doors.attempt(former[0]))
        docker = shared.client(made)
        creator.cloud.call("DELETE", "compute", f"/os-keypairs/{settings.KEYPAIR}")
        self._roles("DELETE", ident)

        asker = Asker(docker, [one.floating for one in cluster.managers()])
        asker.start()
        self.addCleanup(asker.end)
        began = time.monotonic()
        # The command does not fail where it is refused.
        self.assertIn("accepted", self.demo.run("openstack", "coe", "credential", "rotate", NAME))
        # It was CREATE_COMPLETE before.
        _, reason = cluster.wait("UPDATE_COMPLETE", timeout=living.TIMEOUT)
        rotated = time.monotonic() - began
        print(f"rotated after {rotated:.1f} s", flush=True)
        self.assertEqual("", reason)
        for credential in former:
            self.assertEqual("", doors.attempt(credential))
        for manager in cluster.managers():
            self.assertTrue(doors.attempt(self._credential(cluster, manager)))
        self._sign_for_seconds()
        self._renew(cluster)
        known = {address: len(seen) for address, seen in asker.served.items()}

        change = living.resize(cluster, MORE, "default-master")
        print(f"{MORE} managers after {change.seconds:.1f} s", flush=True)
        self.assertEqual("UPDATE_COMPLETE", change.status, change.reason)
        self._wait_renewed(asker, known)
        asker.end()
        print(f"{asker.answered} requests, {len(asker.refused)} refused", flush=True)
        self.assertEqual([], asker.refused)
        lasting.shown(self, "credential", seconds=rotated, refusals=0)
        shared.wait_until_whole(shared.client(cluster), MORE, 0)

        self._leaves_nothing(cluster, ident)

    @staticmethod
    def _record(cluster: Cluster) -> str:
        """The driver's own row of the cluster, in the database of the release that runs."""
        return infrastructure.query(RECORD.format(releases.chosen().database, cluster.uuid))

    def _leaves_nothing(self, cluster: Cluster, creator: str) -> None:
        """Of a cluster that changed hands nothing stays behind when it is deleted."""
        cloud = self.admin.cloud
        # The client shows each backslash as two.
        state = State.from_json(self._record(cluster).replace("\\\\", "\\"))
        self.assertNotEqual(creator, state.owner_id)
        rights = [one for one in state.owned if one.kind in (Kind.TRUST, Kind.CREDENTIAL)]
        self.assertEqual({state.owner_id}, {one.owner_id for one in rights})
        stack = state.thing(Kind.STACK)
        assert stack is not None
        cluster.delete()
        cluster.wait_gone()
        clusters.remove_template(self.demo, NAME)
        for trust in (state.trust_id, stack.trust):
            self.assertNotEqual("", trust)
            self.assertEqual(404, self._status(f"/OS-TRUST/trusts/{trust}"), trust)
        given = cloud.get("identity", f"/OS-TRUST/trusts?trustor_user_id={creator}")["trusts"]
        self.assertEqual([], given)
        for user in (creator, state.owner_id):
            found = cloud.get("identity", f"/users/{user}/application_credentials")
            names = [one["name"] for one in found["application_credentials"]]
            self.assertEqual([], [name for name in names if cluster.uuid in name])
        self.assertEqual("", self._record(cluster).strip())
        servers = self.demo.cloud.get("compute", "/servers")["servers"]
        self.assertEqual([], [one for one in servers if one["name"].startswith(f"{NAME}-")])

    def _status(self, path: str) -> int:
        try:
            self.admin.cloud.get("identity", path)
        except RestError as error:
            return error.status
        return 200

    def _credential(self, cluster: Cluster, manager: clusters.Server) -> Mapping[str, object]:
        """What a manager authenticates with."""
        told = json.loads(cluster.machine(manager).run(CONFIG))["openstack"]
        return doors.application_credential(
            told["application_credential_id"], told["application_credential_secret"]
        )

    def _sign_for_seconds(self) -> None:
        """Have a conductor that signs for a short life."""
        directory = self.temporary_directory()
        (directory / "sitecustomize.py").write_text(SHORT_LIVED, encoding="ascii")
        for name in conductors.ALL:
            self._restart(name, str(directory))
            self.addCleanup(self._restart, name, "")

    @staticmethod
    def _restart(name: str, python_path: str) -> None:
        """Restart a conductor, unless the tests beside this one have stopped it."""
        if processes.running(name) is not None:
            conductors.kill(name, python_path)

    def _wait_renewed(self, asker: Asker, known: Mapping[str, int]) -> None:
        """Wait until each manager has renewed its certificate by itself; never all at once."""
        wait_for(
            "all managers to renew their certificates",
            lambda: [len(seen) - known[address] for address, seen in asker.served.items()],
            lambda renewed: min(renewed) > 0,
            timeout=LIFE,
        )
        moments = sorted(max(seen.values()) for seen in asker.served.values())
        print(f"renewed over {moments[-1] - moments[0]:.1f} s", flush=True)

    def _renew(self, cluster: Cluster) -> None:
        """Have each manager's certificate signed anew, one after the other."""
        for one in cluster.managers():
            served = _certificate(one.floating)
            cluster.machine(one).text(RENEW)
            look = functools.partial(_certificate, one.floating)
            other = functools.partial(operator.ne, served)
            wait_for(f"another certificate of {one.name}", look, other, timeout=60)

    def _creator(self) -> tuple[User, str]:
        """Another member of the project, with a key pair of the usual name."""
        name, password = f"creator-{secrets.token_hex(4)}", secrets.token_hex(16)
        cloud = self.admin.cloud
        user = {"name": name, "password": password, "domain_id": "default"}
        ident = cloud.call("POST", "identity", "/users", {"user": user})["user"]["id"]
        self.addCleanup(self._remove, ident)
        self._roles("PUT", ident)
        creator = users.same_project(name, password)
        public = settings.SSH_KEY.with_suffix(".pub").read_text(encoding="ascii").strip()
        pair = {"keypair": {"name": settings.KEYPAIR, "public_key": public}}
        creator.cloud.call("POST", "compute", "/os-keypairs", pair)
        return creator, ident

    def _remove(self, ident: str) -> None:
        try:
            self.admin.cloud.call("DELETE", "identity", f"/users/{ident}")
        except RestError as error:
            if error.status != 404:
                raise

    def _roles(self, method: str, ident: str) -> None:
        cloud = self.admin.cloud
        project = cloud.get("identity", "/projects?name=demo")["projects"][0]["id"]
        for wanted in ("member", "heat_stack_owner"):
            role = cloud.get("identity", f"/roles?name={wanted}")["roles"][0]["id"]
            cloud.call(method, "identity", f"/projects/{project}/users/{ident}/roles/{role}")

    def _clean_up(self) -> None:
        found = clusters.find(self.demo, NAME)
        if found is not None:
            found.remove()
        if self.demo.cloud.find("container-infra", f"/clustertemplates/{NAME}") is not None:
            clusters.remove_template(self.demo, NAME)


def _certificate(address: str) -> str:
    """The certificate that a manager serves; empty while it serves none."""
    try:
        return ssl.get_server_certificate((address, 2376), timeout=5)
    except OSError:
        return ""
