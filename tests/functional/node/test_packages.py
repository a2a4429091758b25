# SPDX-License-Identifier: Apache-2.0
"""The node program installs engines with the apt of a node image, from a repository like Docker's.

The node is a root file system of devcloud's without an engine, in which nothing runs.
"""

import json
import pathlib
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from oslotest import base

import magnum_swarm_mode
from devcloud import images, settings
from tests.functional.node.repository import STARTED, Repository
from tests.unit.node import fakes

SOURCES = pathlib.Path(magnum_swarm_mode.__file__).parent / "node"
TIMEOUT = 120.0  # seconds
PROGRAM = """
import json, pathlib, sys
sys.path.insert(0, "/opt")
from magnum_swarm_mode.node.base import config, paths
from magnum_swarm_mode.node.duties import packages
packages._INTERVAL = 0.5
said = []
try:
    settings = config.parse(pathlib.Path("/opt/config.json").read_text())
    done, error = packages.ensure(settings, paths.Paths(), said.append), ""
except Exception as failure:
    done, error = "", f"{type(failure).__name__}: {failure}"
print(json.dumps([done, error, said]))
"""
# Takes every lock of apt and dpkg, as an upgrade does that goes on.
LOCKS = """
import fcntl, time
files = [open(f"/var/lib/{name}", "w")
         for name in ("apt/lists/lock", "dpkg/lock-frontend", "dpkg/lock")]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(3)
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a node that installed its packages."""

    installed: str
    error: str
    said: list[str]
    held: str  # names of packages
    dockerd: str  # what it says of its version


class Node:
    """A node's root file system, in a directory that is removed with it."""

    def __init__(self, test: base.BaseTestCase) -> None:
        # Not below /tmp, which may be no file system that a layer can be put over.
        settings.RUN.mkdir(parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(prefix="packages-", dir=settings.RUN)
        test.addCleanup(directory.cleanup)
        self._directory = pathlib.Path(directory.name)
        self.upper = self._directory / "upper"
        self._image = images.root_path("debian-12").resolve()
        test.assertTrue(self._image.is_dir(), "tools/devcloud install has made no node image")
        modules = self.upper / "opt/magnum_swarm_mode/node"
        shutil.copytree(SOURCES, modules, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("root", "work"):
            (self._directory / name).mkdir()
        apt = self.upper / "etc/apt"
        apt.mkdir(parents=True)
        # No other source: what is missing comes from the test's repository.
        (apt / "sources.list").write_text("")

    def install(self, before: str = "", **engine: str) -> Outcome:
        """Install what a worker needs.

        :param before: shell commands that are run on the node at first
        :param engine: settings of the configuration
        """
        config = fakes.config_json("worker", engine=engine)
        (self.upper / "opt/config.json").write_text(json.dumps(config))
        layers = f"lowerdir={self._image},upperdir={self.upper},workdir={self._directory}/work"
        root = self._directory / "root"
        after = "apt-mark showhold; echo ---; dockerd --version"
        inside = f"{before}\npython3 -c {shlex.quote(PROGRAM)}\n{after}\n"
        script = f"""
            mount -t overlay overlay -o {layers} {root}
            mount -t proc proc {root}/proc
            mount --rbind /dev {root}/dev
            exec chroot {root} sh -c {shlex.quote(inside)}
        """
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--propagation=private", "sh", "-ec", script],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        first, _, rest = done.stdout.partition("\n")
        if not first.startswith("["):
            raise AssertionError(f"the node did not run: {done.stdout}{done.stderr}")
        held, _, dockerd = rest.partition("---\n")
        installed, error, said = json.loads(first)
        return Outcome(installed, error, said, " ".join(held.split()), dockerd.strip())


class InstallationTest(base.BaseTestCase):
    """It needs root, and the node image that ``tools/devcloud install`` makes."""

    def setUp(self) -> None:
        super().setUp()
        self.repository = self.useFixture(Repository())
        self.node = Node(self)

    def test_version_of_docker(self) -> None:
        """An engine of Docker's comes in the newest version that was asked for, and stays there.

        It is not started before the node has configured it.
        """
        seen = self.node.install(version="26.1", repository=self.repository.url)
        self.assertEqual("", seen.error)
        version = "5:26.1.4-1~debian.12~bookworm"
        expected = f"docker-ce={version}, docker-ce-cli={version}, containerd.io, iptables"
        self.assertEqual(expected, seen.installed)
        self.assertEqual("Docker version 26.1.4, build test", seen.dockerd)
        self.assertEqual("docker-ce docker-ce-cli", seen.held)
        self.assertFalse((self.node.upper / STARTED).exists(), "the engine was started")
        self.assertFalse((self.node.upper / "usr/sbin/policy-rc.d").exists())

    def test_any_version(self) -> None:
        """Without a version the newest engine comes, and may be upgraded later."""
        seen = self.node.install(repository=self.repository.url)
        self.assertEqual(
            ("docker-ce, docker-ce-cli, containerd.io, iptables", "", ""),
            (seen.installed, seen.error, seen.held),
        )
        self.assertEqual("Docker version 27.3.1, build test", seen.dockerd)

    def test_repository_without_proxy(self) -> None:
        """apt fetches directly what no_proxy names by its network, though the proxy is away."""
        away = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.0/8"}
        seen = self.node.install(repository=self.repository.url, **away)
        self.assertEqual(("", []), (seen.error, seen.said))
        self.assertEqual("Docker version 27.3.1, build test", seen.dockerd)

    def test_version_that_does_not_exist(self) -> None:
        """The sentence names the versions that there are."""
        seen = self.node.install(version="99.9", repository=self.repository.url)
        self.assertEqual(
            "NodeError: no version 99.9 of docker-ce: the package sources offer "
            "5:27.3.1-1~debian.12~bookworm, 5:26.1.4-1~debian.12~bookworm, "
            "5:26.1.3-1~debian.12~bookworm",
            seen.error,
        )
        self.assertEqual("", seen.dockerd)

    def test_key_that_signed_nothing(self) -> None:
        """Packages that another key signed are refused at once."""
        seen = self.node.install(
            repository=self.repository.url, repository_key=f"{self.repository.url}/other"
        )
        self.assertIn("NodeError: apt-get: ", seen.error)
        self.assertIn("is not signed", seen.error)
        self.assertEqual([], seen.said)

    def test_no_key(self) -> None:
        """A key that is not there is said with its address."""
        key = f"{self.repository.url}/none"
        seen = self.node.install(repository=self.repository.url, repository_key=key)
        self.assertIn(f"{key}  404  File not found", seen.error)

    def test_locked_and_half_installed(self) -> None:
        """Somebody else's locks are waited for, and what an interruption left is finished."""
        before = (
            f"python3 -c {shlex.quote(LOCKS)} >/run/locked & "
            "until grep -qs locked /run/locked; do sleep 0.1; done"
        )
        seen = self.node.install(before, repository=self.repository.url)
        self.assertEqual("", seen.error)
        self.assertEqual("Docker version 27.3.1, build test", seen.dockerd)
        self.assertIn("lock", seen.said[0])
