# SPDX-License-Identifier: Apache-2.0
"""The page for operators, followed from its first command to its last."""

import contextlib
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import requests
from testtools import content

from devcloud import infrastructure, settings
from devcloud.demo import shell
from tests import documented
from tests.endtoend import base
from tests.endtoend.controllers import Controller
from tests.endtoend.users import User
from tests.endtoend.waiting import wait_for

INSTALLATION = "doc/source/install/high-availability.rst"
FILES = "etc/high-availability"
# In the network of the one-machine cloud, outside of what Neutron hands out.
BALANCER = "172.24.4.10"
CONTROLLERS = ("172.24.4.11", "172.24.4.12", "172.24.4.13")
API_GAP = 20.0  # seconds that Magnum may not answer when a controller loses its power
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

    def _install_and_check(self) -> None:
        printed = self.install()
        self.assertIn(f"https://{BALANCER}:9511/v1/", printed)
        self.assertEqual(3, printed.count("magnum-conductor"), printed)
        answer = requests.get(f"https://{BALANCER}:9511/v1/", verify=self.ca, timeout=30)
        # One link leads to a page about the API.
        self.assertNotIn("http://1", answer.text)

    def test_installation(self) -> None:
        """Three controllers, installed by the page, serve https though one loses its power."""
        self._install_and_check()
        self.controllers[0].power_off()
        # With a token of its own: checked tokens are kept for minutes, and with them the catalogue
        # that names this Magnum, also by the cloud's Magnum, which uses the same memcached.
        self.assertLess(self._gap(User(self.demo.environment), "/clusters"), API_GAP)

    # -- Magnum, seen through the load balancer -------------------------------------------------

    def _get(self, user: User, path: str) -> requests.Response:
        headers = {"X-Auth-Token": user.cloud.token, "OpenStack-API-Version": "container-infra 1.9"}
        url = f"https://{BALANCER}:9511/v1{path}"
        return requests.get(url, headers=headers, verify=self.ca, timeout=30)

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
