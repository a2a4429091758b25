# SPDX-License-Identifier: Apache-2.0
"""The pages for operators and for users, followed from their first command to their last."""

import contextlib
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from testtools import content

from devcloud import infrastructure, settings
from devcloud.demo import shell
from devcloud.errors import CommandFailedError
from tests import documented
from tests.endtoend import base, images
from tests.endtoend.clusters import Cluster
from tests.endtoend.controllers import Controller
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

INSTALLATION = "doc/source/install/high-availability.rst"
FIRST_CLUSTER = "doc/source/user/first-cluster.rst"
PREVIEW = "doc/source/user/preview.rst"
FAILURES = "doc/source/reference/failures.rst"
LABELS = "doc/source/reference/labels.rst"
MIGRATION = "doc/source/install/migration.rst"
FILES = "etc/high-availability"
# In the network of the one-machine cloud, outside of what Neutron hands out.
BALANCER = "172.24.4.10"
CONTROLLERS = ("172.24.4.11", "172.24.4.12", "172.24.4.13")
API_GAP = 20.0  # seconds that Magnum may not answer when a controller loses its power
CREATE = 480.0  # with one conductor lost, which may have held the cluster for three minutes
# Other tests install the package, which takes long; here it is what the cloud itself runs.
INSTALLED_ELSEWHERE = ("python3 -m venv", "/opt/magnum/bin/pip install")
ONCE = ("mysql ", "rabbitmqctl ", "openstack ", "/opt/magnum/bin/magnum-db-manage ", "curl ")
ON_THE_BALANCER = "haproxy"


def _substitutions() -> dict[str, str]:
    """What the page's examples are on this cloud; longer ones first."""
    cache = ",".join(f"192.0.2.{number}:11211" for number in (11, 12, 13))
    rabbit = ",".join(f"magnum:RABBIT_PASSWORD@192.0.2.{n}:5672" for n in (11, 12, 13))
    here = settings.LOOPBACK
    return {
        cache: f"{here}:{settings.MEMCACHED_PORT}",
        rabbit: f"magnum:RABBIT_PASSWORD@{here}:{settings.RABBIT_PORT}",
        "192.0.2.10:3306": f"{here}:{settings.DATABASE_PORT}",
        "https://keystone.example.com:5000": settings.AUTH_URL.removesuffix("/v3"),
        "magnum.example.com": BALANCER,
        "192.0.2.1": "172.24.4.1",
        # The cloud has a Magnum already.
        "magnum:DATABASE": "magnum_ha:DATABASE",
        "3306/magnum?": "3306/magnum_ha?",
        "username = magnum": "username = magnum-ha",
        **{
            f"{word}_PASSWORD": secrets.token_hex(8)
            for word in ("DATABASE", "RABBIT", "MAGNUM", "TRUSTEE")
        },
    }


class OperatorTest(base.EndToEndTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.work = self.temporary_directory()
        self.work.chmod(0o755)
        self.replaced = _substitutions()
        self._copy_files()
        self._make_certificates()
        self._make_addresses()
        if not Path("/var/lib/magnum").exists():
            Path("/var/lib/magnum").mkdir()
            self.addCleanup(Path("/var/lib/magnum").rmdir)
        broom = self._host("broom", BALANCER)
        # A run that was killed has left them, too.
        self._remove_rows(broom)
        self.addCleanup(self._remove_rows, broom)
        self.addOnException(self._keep_logs)
        self.balancer = self._host("balancer", BALANCER)
        self.controllers = [
            self._host(f"controller{number}", address)
            for number, address in enumerate(CONTROLLERS, 1)
        ]

    def _keep_logs(self, _exception: object) -> None:
        """Show the ends of the services' logs with a failure."""
        for path in sorted(self.work.glob("*/*.log")):
            text = path.read_text(errors="replace")[-3000:]
            self.addDetail(f"{path.parent.name}/{path.name}", content.text_content(text))

    def _host(self, name: str, address: str) -> Controller:
        host = Controller(name, address, self.work / name, self.work / "top")
        host.start()
        self.addCleanup(host.power_off)
        environment = self.demo.environment
        host.run(f"mkdir -p /etc/magnum && cp {self.work}/ca.pem /etc/magnum/cloud-ca.pem && "
                 f"cp {self.work}/magnum.pem /etc/haproxy/", environment)  # fmt: skip
        return host

    def _here(self, text: str) -> str:
        for example, real in self.replaced.items():
            text = text.replace(example, real)
        return text

    def _copy_files(self) -> None:
        target = self.work / "top" / FILES
        target.mkdir(parents=True)
        for path in (documented.ROOT / FILES).iterdir():
            text = path.read_text()
            if path.suffix == ".sql":
                text = re.sub(r"\bmagnum\b(?=[.;' ])", "magnum_ha", text)
            (target / path.name).write_text(self._here(text))
        snippet = "magnum.conf.snippet"
        shutil.copy(documented.ROOT / "etc" / snippet, target.parent / snippet)

    def _make_certificates(self) -> None:
        def openssl(*words: str) -> None:
            subprocess.run(("openssl", *words), cwd=self.work, check=True, capture_output=True)

        new = ("-newkey", "rsa:2048", "-nodes")
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Cloud",
                "-days", "2")  # fmt: skip
        openssl("req", *new, "-keyout", "key", "-out", "csr", "-subj", "/CN=magnum")
        (self.work / "names").write_text(f"subjectAltName=IP:{BALANCER}\n")
        openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "pem",
                "-CAcreateserial", "-days", "2", "-extfile", "names")  # fmt: skip
        both = (self.work / "pem").read_text() + (self.work / "key").read_text()
        (self.work / "magnum.pem").write_text(both)
        self.ca = str(self.work / "ca.pem")

    def _make_addresses(self) -> None:
        for address in (BALANCER, *CONTROLLERS):
            words = (f"{address}/32", "dev", settings.EXTERNAL_BRIDGE)
            subprocess.run(("ip", "address", "del", *words), capture_output=True, check=False)
            subprocess.run(("ip", "address", "add", *words), check=True)
            self.addCleanup(subprocess.run, ("ip", "address", "del", *words), check=False)

    def _remove_rows(self, host: Controller) -> None:
        """Remove what the page makes in services that stay."""
        infrastructure.query("DROP DATABASE IF EXISTS magnum_ha; DROP USER IF EXISTS magnum_ha@'%'")
        for command in ("rabbitmqctl delete_vhost magnum", "rabbitmqctl delete_user magnum"):
            with contextlib.suppress(shell.CommandError):
                host.run(command, self.admin.environment)
        cloud = self.admin.cloud
        for kind in ("services", "users", "domains"):
            for row in cloud.get("identity", f"/{kind}?name=magnum-ha")[kind]:
                path = f"/{kind}/{row['id']}"
                if kind == "domains":
                    cloud.call("PATCH", "identity", path, {"domain": {"enabled": False}})
                cloud.call("DELETE", "identity", path)

    # -- the page for operators -----------------------------------------------------------------

    def install(self) -> str:
        """Follow the page on all hosts; return what the commands print that are run once."""
        printed = ""
        secured = {**self.admin.environment, "CURL_CA_BUNDLE": self.ca, "OS_CACERT": self.ca}
        for command in documented.commands(INSTALLATION):
            if command.startswith(INSTALLED_ELSEWHERE):
                continue
            here = self._command(command)
            if ON_THE_BALANCER in command:
                self.balancer.run(here, secured)
            elif command.startswith(ONCE):
                if command.startswith(("curl ", "openstack coe")):
                    self._point_users_here()
                    wait_for("Magnum's API", self._is_up, timeout=120)
                    wait_for("three conductors", self._conductors, lambda n: n == 3, timeout=60)
                printed += self.controllers[0].run(here, secured)
            else:
                for host in self.controllers:
                    host.run(here, secured)
        return printed

    def _command(self, command: str) -> str:
        here = self._here(command)
        if command.startswith("openstack ") and " coe " not in command:
            # The cloud has a Magnum already, whose user, service and domain stay as they are.
            here = re.sub(r"(?<![\w/.:-])magnum\b(?![.:-])", "magnum-ha", here)
            here = here.replace("container-infra", "container-infra-ha")
        return here

    @staticmethod
    def _conductors() -> int:
        """How many conductors have said that they are there."""
        return int(infrastructure.query("SELECT COUNT(*) FROM magnum_ha.magnum_service"))

    def _is_up(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            url = f"https://{BALANCER}:9511/healthcheck"
            return requests.get(url, verify=self.ca, timeout=10).status_code == 200
        return False

    def _point_users_here(self) -> None:
        """Have the catalogue name the new Magnum, for as long as this test lasts."""
        cloud = self.admin.cloud
        [service] = cloud.get("identity", "/services?type=container-infra")["services"]
        listed = cloud.get("identity", f"/endpoints?service_id={service['id']}")["endpoints"]
        for endpoint in listed:
            if endpoint["url"].startswith(f"https://{BALANCER}"):
                return
            self.addCleanup(self._set_url, endpoint["id"], endpoint["url"])
            self._set_url(endpoint["id"], f"https://{BALANCER}:9511/v1")

    def _set_url(self, endpoint: str, url: str) -> None:
        body = {"endpoint": {"url": url}}
        self.admin.cloud.call("PATCH", "identity", f"/endpoints/{endpoint}", body)

    # -- the pages for users --------------------------------------------------------------------

    def follow(self, user: User, commands: Iterable[str], **variables: str) -> str:
        """Run commands of a page in one shell, with the names that this test has given."""
        names = {
            "swarm-mode-cluster": "first", "--manager-count 3": "--manager-count 1",
            "--node-count 8": "--node-count 1",
        }  # fmt: skip
        script = "\n".join(["set -e", f"cd {self.work}/top", *commands])
        for word, other in names.items():
            script = script.replace(word, other)
        # A service that never settles is not waited for for ever; no IPVS, no routing mesh.
        script = script.replace("docker service create", "timeout 240 docker service create")
        script = script.replace(" --publish 8080:80", "")
        return shell.capture(["bash", "-c", script], {**user.environment, **variables}, timeout=400)

    def _install_and_check(self) -> None:
        printed = self.install()
        self.assertIn(f"https://{BALANCER}:9511/v1/", printed)
        self.assertEqual(3, printed.count("magnum-conductor"), printed)
        answer = requests.get(f"https://{BALANCER}:9511/v1/", verify=self.ca, timeout=30)
        # One link leads to a page about the API.
        self.assertNotIn("http://1", answer.text)

    def test_pages(self) -> None:
        """The users' pages work on these controllers, though one dies while a cluster is made."""
        self._install_and_check()
        user = User({**self.demo.environment, "OS_CACERT": self.ca})
        page = documented.commands(FIRST_CLUSTER)
        legacy = [one for one in page if one.startswith("magnum cluster-")]
        template, create, show, delete, delete_template = legacy
        self.follow(user, [template, create])
        ident = self._ident(user, "first")
        self.addCleanup(self._remove, user, ident)

        lost = self._who_made(ident)
        began = time.monotonic()
        lost.power_off()
        with ThreadPoolExecutor(1) as pool:
            gap = pool.submit(self._gap, user, f"/clusters/{ident}")
            # Meanwhile users go on.
            others = self._other_command_line(user, page)
            self.follow(user, documented.commands(PREVIEW))
            self.assertLess(gap.result(), API_GAP)
        self._wait(user, ident, "CREATE_COMPLETE")
        print(f"silent for {gap.result():.1f} s, complete {time.monotonic() - began:.0f} s after")
        self.follow(user, [show])

        self._look(user, ident)
        self._use(user, page, ident)
        self.follow(user, [delete])
        for one in (*others, ident):
            self._wait(user, one, "gone")
        old = [one for one in documented.commands(MIGRATION) if "cluster template delete" in one]
        self.follow(user, [delete_template, *old], OLD_TEMPLATE="other-template")

    def _look(self, user: User, ident: str) -> None:
        """Follow the pages that look at a cluster and at what it would be."""
        server = Cluster(user, "first", ident).servers()[0]
        seen = self.follow(user, documented.commands(FAILURES), UUID=ident, SERVER=server.ident)
        self.assertIn("magnum-swarm-mode", seen)
        made = self.work / "top/preview"
        self.assertIn("#cloud-config", (made / "cloud-init/worker.yaml").read_text())
        User({**self.admin.environment, "OS_CACERT": self.ca}).run("magnum", "service-list")

    def _use(self, user: User, page: list[str], ident: str) -> None:
        """Use the swarm as the pages say, with the files of either command line."""
        configs = [one for one in page if one.startswith("mkdir swarm")]
        self.assertEqual(2, len(configs), str(configs))
        for one in configs:
            nodes = self.follow(user, ["rm -rf swarm", one, "docker node ls"])
            self.assertEqual(2, nodes.count("Ready"), nodes)
        self._bring_image(user, ident)
        ready = ["rm -rf swarm", configs[0]]
        services = [one for one in page if one.startswith("docker service")]
        self.follow(user, [*ready, *services])
        group = self._group(user, ident)
        rules = [one.replace("GROUP", group) for one in page if "security group" in one]
        self.assertIn(group, self.follow(user, rules))
        [stack] = [block for block in documented.blocks(MIGRATION) if block.language == "yaml"]
        (self.work / "top/stack.yaml").write_text(stack.text)
        moving = [one for one in documented.commands(MIGRATION) if one.startswith("docker ")]
        self.follow(user, [*ready, "docker service rm web", *moving])

    def _other_command_line(self, user: User, page: list[str]) -> list[str]:
        """Ask for clusters as other pages say, and at once for their deletion; their uuids."""
        made = [one for one in page if one.startswith("openstack coe cluster template create")]
        made += [one for one in page if one.startswith("openstack coe cluster create")]
        self.assertEqual(2, len(made), str(made))
        other = [one.replace("swarm-mode-cluster", "other") for one in made]
        self.follow(user, [one.replace("master-count 3", "master-count 1") for one in other])
        narrow = [one.replace("swarm --cl", "narrow --cl") for one in documented.commands(LABELS)]
        self.follow(user, narrow)
        old = [one for one in documented.commands(MIGRATION) if "cluster delete" in one]
        found = []
        for name in ("other", "narrow"):
            found.append(self._ident(user, name))
            self.addCleanup(self._remove, user, found[-1])
            self.follow(user, old, OLD_CLUSTER=name)
        return found

    def _bring_image(self, user: User, ident: str) -> None:
        """Give the nodes, which reach no registry, an image of the name that the page uses."""
        cluster = Cluster(user, "first", ident)
        cluster.allow_ssh()
        change = """--change 'CMD ["sleep", "86400"]' """
        script = images.IMPORT.replace(images.NAME, "nginx:latest").replace(
            "docker import ", f"docker import {change}"
        )
        for server in cluster.servers():
            cluster.machine(server).run(script)

    def _group(self, user: User, ident: str) -> str:
        found = [
            one["physical_resource_id"]
            for one in Cluster(user, "first", ident).resources()
            if one["resource_name"] == "node_security_group"
        ]
        return str(found[0])

    # -- Magnum, seen through the load balancer -------------------------------------------------

    def _get(self, user: User, path: str) -> requests.Response:
        headers = {"X-Auth-Token": user.cloud.token, "OpenStack-API-Version": "container-infra 1.9"}
        url = f"https://{BALANCER}:9511/v1{path}"
        return requests.get(url, headers=headers, verify=self.ca, timeout=30)

    def _ident(self, user: User, name: str) -> str:
        def look() -> str:
            found: list[dict[str, Any]] = self._get(user, "/clusters").json()["clusters"]
            return next((str(one["uuid"]) for one in found if one["name"] == name), "")

        return wait_for(f"{name} to be listed", look, timeout=30, interval=0.5)

    def _status(self, user: User, ident: str) -> tuple[str, str]:
        try:
            answer = self._get(user, f"/clusters/{ident}")
        except requests.RequestException as error:
            return ("silent_IN_PROGRESS", str(error))
        if answer.status_code == 404:
            return ("gone", "")
        if answer.status_code >= 500:
            return ("failing_IN_PROGRESS", answer.text)
        row = answer.json()
        return (row["status"], row["status_reason"] or "")

    def _wait(self, user: User, ident: str, wanted: str) -> None:
        """Wait until a cluster is in a status, or in another one that is an end."""
        # A delete leads out of every status.
        unfinished = ("",) if wanted == "gone" else ("_IN_PROGRESS",)
        final = wait_for(
            f"cluster {ident} to be {wanted}", lambda: self._status(user, ident),
            lambda seen: seen[0] == wanted or not seen[0].endswith(unfinished), timeout=CREATE,
        )  # fmt: skip
        self.assertEqual(wanted, final[0], str(final))

    def _gap(self, user: User, path: str) -> float:
        """Ask four times a second; return the longest time in seconds without a good answer."""
        began = last = time.monotonic()
        longest = 0.0
        while time.monotonic() - began < API_GAP:
            good = False
            with contextlib.suppress(requests.RequestException):
                good = self._get(user, path).ok
            now = time.monotonic()
            if good:
                longest, last = max(longest, now - last), now
            time.sleep(0.25)
        return max(longest, time.monotonic() - last)

    def _who_made(self, ident: str) -> Controller:
        """Return the host whose conductor asked Heat for a cluster, once it has done so."""
        query = "SELECT COALESCE(lease_owner, ''), state FROM magnum_ha.swarm_mode_cluster"
        owners: list[str] = []

        def look() -> bool:
            row = ""
            # The driver makes its table when it needs it.
            with contextlib.suppress(CommandFailedError):
                row = infrastructure.query(f"{query} WHERE cluster_uuid = '{ident}'")
            owner, _, state = row.partition("\t")
            if owner:
                owners.append(owner.partition("/")[0])
            return '"CREATED"' in state or '"created"' in state

        wait_for("the stack", look, timeout=90, interval=0.1)
        by_name: dict[str, Controller] = {one.name: one for one in self.controllers}
        return by_name[owners[0]] if owners else self.controllers[0]

    def _remove(self, user: User, ident: str) -> None:
        """Delete the cluster, if a failure has left it, while there is a Magnum that knows it."""
        with contextlib.suppress(requests.RequestException):
            headers = {"X-Auth-Token": user.cloud.token}
            url = f"https://{BALANCER}:9511/v1/clusters/{ident}"
            if requests.delete(url, headers=headers, verify=self.ca, timeout=30).ok:
                self._wait(user, ident, "gone")
