# SPDX-License-Identifier: Apache-2.0
import pathlib

import fixtures
from oslotest import base

from magnum_swarm_mode.node.base.errors import NodeError, Temporary
from magnum_swarm_mode.node.duties import distribution, packages
from tests.unit.node import fakes

PROXY = {
    "http_proxy": "http://user:proxy-password@proxy:3128",
    "https_proxy": "http://proxy:3129",
    "no_proxy": "10.0.0.0/8",
}
BOOKWORM = " docker.io | 20.10.24+dfsg1-1+deb12u1 | http://m/debian bookworm/main amd64 Packages"
UBUNTU = (
    " docker.io | 27.5.1-0ubuntu3~24.04.2 | http://m/ubuntu noble-updates/universe amd64 Packages\n"
    " docker.io | 24.0.7-0ubuntu4 | http://m/ubuntu noble/universe amd64 Packages"
)
DOCKER = (
    " docker-ce | 5:27.3.1-1~ubuntu.24.04~noble | https://d/linux/ubuntu noble/stable amd64\n"
    " docker-ce | 5:26.1.4-1~ubuntu.24.04~noble | https://d/linux/ubuntu noble/stable amd64\n"
    " docker-ce | 5:26.1.3-1~ubuntu.24.04~noble | https://d/linux/ubuntu noble/stable amd64"
)


class VersionTest(base.BaseTestCase):
    def test_prefix_of_numbers(self):
        """A prefix stands for whole numbers, and an epoch is no part of the version."""
        for version, prefix, expected in (
            ("20.10.24+dfsg1-1+deb12u1", "20.10", True),
            ("20.10.24+dfsg1-1+deb12u1", "20.10.24", True),
            ("5:26.1.4-1~debian.12~bookworm", "26", True),
            ("26.10.1", "26.1", False),
            ("126.1", "26.1", False),
        ):
            self.assertEqual(expected, distribution.matches(version, prefix), version)

    def test_newest_that_matches(self):
        """The newest version that begins so is chosen, under apt's full name of it."""
        chosen = distribution.choose(DOCKER, "docker-ce", "26.1")
        self.assertEqual("docker-ce=5:26.1.4-1~ubuntu.24.04~noble", chosen)
        chosen = distribution.choose(UBUNTU, "docker.io", "24")
        self.assertEqual("docker.io=24.0.7-0ubuntu4", chosen)

    def test_no_such_version(self):
        """A version that does not exist is final, and the sentence names those that do."""
        error = self.assertRaises(NodeError, distribution.choose, UBUNTU, "docker.io", "99.9")
        self.assertNotIsInstance(error, Temporary)
        self.assertEqual(
            "no version 99.9 of docker.io: the package sources offer "
            "27.5.1-0ubuntu3~24.04.2, 24.0.7-0ubuntu4",
            str(error),
        )
        error = self.assertRaises(NodeError, distribution.choose, "", "docker-ce", "26")
        self.assertIn("offer no version at all", str(error))


class PackagesTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.programs = self.useFixture(fakes.Programs())
        self.useFixture(
            fixtures.MonkeyPatch(
                "magnum_swarm_mode.node.duties.packages._PATH", str(self.programs.directory)
            )
        )
        for name in ("apt-get", "apt-mark", "dpkg", "systemctl", "haproxy", "openssl"):
            self.programs.add(name)
        for name in ("iptables", "mkfs.ext4", "apparmor_parser"):
            self.programs.add(name)
        self.programs.add("apt-cache", f"[ $2 = docker-cli ] || echo '{BOOKWORM}'")
        self.said = []
        self.sbin = pathlib.Path(self.root, "usr/sbin")
        self.policy = self.sbin / "policy-rc.d"

    def _remove(self, *names):
        for name in names:
            (self.programs.directory / name).unlink()

    def _engine(self, version):
        self.programs.add("dockerd", f'echo "Docker version {version}, build x"')

    def _ensure(self, role="manager", **engine):
        config = fakes.parse_config(role, engine=engine)
        return packages.ensure(config, self.paths, self.said.append)

    def _changes(self):
        """What was asked of apt, without its options."""
        kept = ("apt-get", "apt-mark", "dpkg", "systemctl")
        calls = [call.split() for call in self.programs.calls() if call.startswith(kept)]
        return [
            " ".join(
                word
                for before, word in zip(["", *call], call, strict=False)
                if "-o" not in (before, word)
            )
            for call in calls
        ]

    def test_nothing_missing(self):
        """A complete image is left alone, whatever version its engine has."""
        self._engine("20.10.24")
        self.assertEqual("", self._ensure())
        self.assertEqual("", self._ensure(version="20.10"))
        self.assertEqual([], self._changes())
        self.assertFalse(self.policy.exists())

    def test_worker_needs_less(self):
        """Only managers need the TLS end of the API."""
        self._engine("20.10.24")
        self._remove("haproxy", "openssl")
        self.assertEqual("", self._ensure("worker"))
        self.assertEqual("haproxy, openssl", self._ensure())

    def test_install(self):
        """What is missing is installed without recommendations; haproxy's own unit is not used."""
        self._remove("haproxy", "iptables")
        self.assertEqual("docker.io, iptables, haproxy", self._ensure())
        self.assertEqual(
            [
                "dpkg --configure -a",
                "apt-get -qy update",
                "apt-get -qy install --no-install-recommends --allow-downgrades "
                "docker.io iptables haproxy",
                "systemctl disable haproxy.service",
            ],
            self._changes(),
        )

    def test_command_in_a_package_of_its_own(self):
        """Where the distribution splits them, the engine comes with its command."""
        self.programs.add("apt-cache", 'echo " $3 | 26.1.5+dfsg1-9 | http://m/debian trixie/main"')
        self.assertEqual("docker.io, docker-cli", self._ensure())

    def test_version(self):
        """A version that is asked for is installed and stays."""
        expected = "docker.io=20.10.24+dfsg1-1+deb12u1"
        self.assertEqual(expected, self._ensure(version="20.10"))
        self.assertEqual("apt-mark hold docker.io", self._changes()[-1])

    def test_other_version_on_the_image(self):
        """An image's engine of another version is replaced."""
        self._engine("19.3.0")
        self.assertEqual("docker.io=20.10.24+dfsg1-1+deb12u1", self._ensure(version="20.10.24"))

    def test_version_does_not_exist(self):
        """A version that does not exist fails at once and changes nothing."""
        error = self.assertRaises(NodeError, self._ensure, version="99.9")
        self.assertEqual(
            "no version 99.9 of docker.io: the package sources offer 20.10.24+dfsg1-1+deb12u1",
            str(error),
        )
        self.assertEqual(["dpkg --configure -a", "apt-get -qy update"], self._changes())
        self.assertFalse(self.policy.exists())

    def test_repository_of_docker(self):
        """Docker's packages come from their repository, for this release, with its key."""
        (self.paths.root / "etc/os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
        self.programs.add("apt-helper", 'echo "KEY of $2" >"$3"')
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.node.duties.distribution._HELPER", "apt-helper")
        )
        self.programs.add("apt-cache", f"case $2 in docker-ce*) echo '{DOCKER}';; esac")
        url = "https://d/linux/ubuntu"
        self.assertEqual(
            "docker-ce=5:26.1.4-1~ubuntu.24.04~noble, docker-ce-cli=5:26.1.4-1~ubuntu.24.04~noble,"
            " containerd.io",
            self._ensure(version="26.1", repository=f"{url}/"),
        )
        key = self.paths.root / "etc/apt/keyrings/magnum-swarm-mode.asc"
        self.assertEqual(f"KEY of {url}/gpg\n", key.read_text())
        line = (self.paths.root / "etc/apt/sources.list.d/magnum-swarm-mode.list").read_text()
        self.assertEqual(f"deb [signed-by={key}] {url} noble stable\n", line)
        self._ensure(repository=url, repository_key="https://keys/k.asc")
        self.assertEqual("KEY of https://keys/k.asc\n", key.read_text())
        (self.paths.root / "etc/os-release").write_text("ID=arch\n")
        error = self.assertRaises(NodeError, self._ensure, repository=url)
        self.assertEqual("/etc/os-release names no VERSION_CODENAME", str(error))

    def test_proxies(self):
        """apt has the cluster's proxies and exceptions, and their passwords are said nowhere."""
        script = 'echo "$http_proxy $https_proxy $no_proxy" >>'
        self.programs.add(
            "apt-get", f"{script}{self.programs.log}; echo E: $http_proxy >&2; exit 1"
        )
        error = self.assertRaises(NodeError, self._ensure, **PROXY)
        self.assertIn(" ".join(PROXY.values()), self.programs.calls())
        self.assertEqual("apt-get: http://user:***@proxy:3128", str(error))

    def test_exceptions_of_proxies(self):
        """apt is told the hosts of its sources that networks, domains and * stand for."""
        sources = self.paths.root / "etc/apt/sources.list.d"
        sources.mkdir(parents=True)
        (sources / "a.list").write_text(
            "deb [signed-by=k] http://10.1.2.3:8080/debian bookworm m\n"
        )
        (sources / "b.sources").write_text("URIs: https://user:word@Mirror.example.org/debian\n")
        script = 'echo "no_proxy=$no_proxy." >>'
        self.programs.add("apt-get", f"{script}{self.programs.log}; exit 1")
        for told, expected in (
            ("10.0.0.0/8", "10.0.0.0/8,10.1.2.3"),
            ("*.example.org", "*.example.org,mirror.example.org"),
            ("*", "*,10.1.2.3,mirror.example.org"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("", ""),
        ):
            self.assertRaises(NodeError, self._ensure, **{**PROXY, "no_proxy": told})
            self.assertIn(f"no_proxy={expected}.", self.programs.calls()[-1])

    def test_nothing_starts(self):
        """While packages are installed, none may start a service; the image's word comes back."""
        seen = self.programs.directory / "seen"
        self.programs.add("apt-get", f"cp {self.policy} {seen}")
        self._ensure()
        self.assertTrue(seen.read_text().endswith("exit 101\n"))
        self.assertFalse(self.policy.exists())
        self.policy.write_text("of the image")
        self._ensure()
        self.assertTrue(seen.read_text().endswith("exit 101\n"))
        self.assertEqual("of the image", self.policy.read_text())

    def test_switched_off_meanwhile(self):
        """What an installation left that did not end is put right at the next boot."""
        for before in ("", "of the image"):
            self.sbin.mkdir(parents=True, exist_ok=True)
            if before:
                self.policy.write_text(before)
            guard = distribution.nothing_starts(self.paths)
            guard.__enter__()
            self.assertIn("exit 101", self.policy.read_text())
            self._engine("20.10.24")
            self.assertEqual("", self._ensure())
            self.assertEqual(before, self.policy.read_text() if self.policy.exists() else "")

    def test_passing_failures(self):
        """Locks and a mirror that does not answer are waited for, and said once a time."""
        self.useFixture(fakes.Waiting(lambda: 0.0, lambda _: None))
        count = self.programs.directory / "count"
        sentences = (
            "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)",
            "E: Failed to fetch http://m/x  Could not connect to proxy:3128 (192.0.2.1).",
            "E: Failed to fetch http://m/x  503  Service Unavailable [IP: 192.0.2.1 80]",
            "E: Failed to fetch http://m/x  Temporary failure resolving 'm'",
            "E: Failed to fetch http://m/x  File has unexpected size (1 != 2). Mirror sync?",
        )
        for sentence in sentences:
            count.write_text("")
            fails = f'{{ echo "{sentence}" >&2; exit 100; }}'
            self.programs.add("apt-get", f"echo >>{count}; [ $(wc -l <{count}) -gt 2 ] || {fails}")
            self.assertEqual("docker.io", self._ensure())
            self.assertEqual([f"apt-get: {sentence[3:]}"] * 2, self.said[-2:])

    def test_lock_of_dpkg(self):
        """dpkg's own lock, of cloud-init or an unattended upgrade, is waited for too."""
        self.useFixture(fakes.Waiting(lambda: 0.0, lambda _: self.programs.add("dpkg")))
        sentence = "dpkg: error: dpkg frontend lock was locked by another process with pid 9"
        self.programs.add("dpkg", f"echo '{sentence}' >&2; exit 2")
        self.assertEqual("docker.io", self._ensure())
        self.assertIn(sentence, self.said[0])

    def test_waiting_ends(self):
        """What does not pass within the time for joining is the reason for the failure."""
        times = iter((0.0, 1200.0))
        self.useFixture(fakes.Waiting(lambda: next(times), lambda _: None))
        self.programs.add("apt-get", "echo 'E: Could not connect to m:80' >&2; exit 100")
        error = self.assertRaises(NodeError, self._ensure)
        self.assertEqual(
            "installation of packages: not within 1200 s; last seen: "
            "apt-get: Could not connect to m:80",
            str(error),
        )

    def test_final_failures(self):
        """What will not pass is not tried again."""
        for sentence in (
            "Unable to locate package docker.io",
            "Failed to fetch http://m/x  403  Forbidden [IP: 192.0.2.1 3128]",
            "Failed to fetch http://m/x  407  Proxy Authentication Required",
            "The repository 'https://d noble InRelease' is not signed.",
            "You don't have enough free space in /var/cache/apt/archives/.",
        ):
            self.programs.log.write_text("")
            self.programs.add("apt-get", f'echo "E: {sentence}" >&2; exit 100')
            error = self.assertRaises(NodeError, self._ensure)
            self.assertNotIsInstance(error, Temporary)
            self.assertEqual(f"apt-get: {sentence}", str(error))
            self.assertEqual(1, sum("apt-get" in call for call in self.programs.calls()))
