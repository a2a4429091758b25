# SPDX-License-Identifier: Apache-2.0
import ast
import errno
import os
import pathlib
import subprocess
import sys
import time
import zipfile
from email.utils import formatdate

import fixtures
from oslotest import base

from magnum_swarm_mode.node import main, manifest
from tests.unit.node import fakes

NODE = pathlib.Path(main.__file__).parent


class ManifestTest(base.BaseTestCase):
    def test_complete(self):
        """Every module travels to some role, and every module that is named exists."""
        named = {name for names in manifest.MODULES.values() for name in names}
        present = {str(path.relative_to(NODE)) for path in NODE.rglob("*.py")} - {"manifest.py"}
        self.assertEqual(present, named)

    def test_python_39(self):
        """Every module parses as Python 3.9."""
        for path in NODE.rglob("*.py"):
            ast.parse(path.read_text(), feature_version=(3, 9))

    def test_role_has_what_it_imports(self):
        """With a role's modules alone the program starts, without the control side."""
        for names in manifest.MODULES.values():
            modules = [name[:-3].replace("/", ".") for name in names if "__" not in name]
            target = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "node.pyz")
            with zipfile.ZipFile(target, "w") as archive:
                archive.writestr(
                    "__main__.py",
                    "import importlib\n"
                    f"for name in {modules!r}:\n"
                    " importlib.import_module('magnum_swarm_mode.node.' + name)\n"
                    "from magnum_swarm_mode.node.main import main\n"
                    "import sys; sys.exit(main(sys.argv[1:]))\n",
                )
                archive.writestr("magnum_swarm_mode/__init__.py", "")
                for name in names:
                    archive.write(NODE / name, f"magnum_swarm_mode/node/{name}")
            # -I -S: nothing but the standard library is there.
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(target)], capture_output=True, text=True
            )
            self.assertEqual((2, ""), (done.returncode, done.stdout), done.stderr)
            self.assertIn("usage: ", done.stderr)

    def test_worker_knows_nothing_of_managers(self):
        """A worker's program has no code that serves, founds or signs."""
        self.assertNotIn("swarm/manager.py", manifest.MODULES["worker"])
        self.assertNotIn("swarm/join_server.py", manifest.MODULES["worker"])


class MainTest(fakes.ProgramTest):
    def test_usage(self):
        """Without a verb that is known there is a usage line."""
        self.assertEqual(2, main.main([], self.paths))
        self.assertEqual(2, main.main(["dance"], self.paths))

    def test_first_boot(self):
        """Install, prepare, run: a swarm of one, and Heat knows."""
        engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        for verb in ("install", "prepare", "run"):
            self.assertEqual(0, self.run_verb(verb), self.log())
        self.assertEqual(
            [
                {
                    "status": "SUCCESS",
                    "id": fakes.SERVER,
                    "reason": "m0 is in the swarm as manager",
                    "data": "node founder, engine 20.10.24",
                }
            ],
            self.cloud.signals,
        )
        self.assertIn("docker_gwbridge", engine.networks)
        calls = self.programs.calls()
        self.assertIn("systemctl start --no-block magnum-swarm-node.service", calls)

    def test_everything_twice(self):
        """A second run changes nothing and tells Heat nothing."""
        engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        for verb in ("install", "prepare", "run"):
            self.run_verb(verb)
        changes = [call for call in engine.calls() if not call.startswith("GET")]
        signals = list(self.cloud.signals)
        files = self._files()
        for verb in ("install", "prepare", "run"):
            self.assertEqual(0, self.run_verb(verb))
        again = [call for call in engine.calls() if not call.startswith("GET")]
        self.assertEqual((changes, signals, files), (again, self.cloud.signals, self._files()))

    def _files(self):
        return {
            str(path): path.read_text()
            for path in self.paths.root.rglob("*")
            if path.is_file() and path not in (self.paths.log, self.paths.console)
        }

    def test_engine_of_the_image_is_stopped(self):
        """An engine that the image started is stopped before it is prepared, and only then."""
        self.programs.add("systemctl", 'case "$1" in is-active) echo inactive; exit 3;; esac')
        self.run_verb("install")
        self.assertIn("systemctl stop docker.socket docker.service", self.programs.calls())
        self.programs.add("systemctl", 'case "$1" in is-active) echo active;; esac')
        self.programs.log.write_text("")
        self.run_verb("install")
        self.assertNotIn("systemctl stop docker.socket docker.service", self.programs.calls())

    def test_clock(self):
        """A clock that is a day off is the reason, before anything else fails of it."""
        self.cloud.date = formatdate(time.time() - 86400, usegmt=True)
        self.addCleanup(setattr, main, "CLOCK_TIMEOUT", main.CLOCK_TIMEOUT)
        main.CLOCK_TIMEOUT = 0
        self.assertEqual(1, self.run_verb("run"))
        self.assertIn("m0: clock: ", self.cloud.signals[0]["reason"])
        self.assertIn("clock is +86", self.cloud.signals[0]["reason"])
        self.assertIn("synchronize it", self.cloud.signals[0]["reason"])

    def test_prepare_fails(self):
        """What fails before the engine starts reaches Heat as well."""
        self.programs.add("dockerd", "exit 1")
        self.assertEqual(1, self.run_verb("prepare"))
        self.assertIn("m0: engine configuration: dockerd", self.cloud.signals[0]["reason"])

    def test_certificate_refused(self):
        """A certificate that is refused is the reason, with Magnum's words."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        refusal = {"errors": [{"detail": "not your cluster"}]}
        self.cloud.special["/v1/certificates"] = (403, refusal)
        self.assertEqual(1, self.run_verb("run"))
        reason = self.cloud.signals[0]["reason"]
        self.assertIn("m0: certificate: ", reason)
        self.assertIn("not your cluster", reason)
        self.assertIn("/var/log/magnum-swarm-mode.log", reason)

    def test_magnum_unreachable(self):
        """A Magnum that does not answer in time is the reason, with its address."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        cloud = {**self.cloud.sections()["openstack"], "magnum_url": "http://127.0.0.1:1/v1"}
        config = fakes.config_json(managers=1, **self.cloud.sections())
        self.make_node({**config, "openstack": cloud, "join": {**config["join"], "timeout": 1}})
        self.assertEqual(1, self.run_verb("run"))
        reason = self.cloud.signals[0]["reason"]
        self.assertRegex(reason, "m0: certificate: certificate from Magnum: not within [01] s; ")
        self.assertIn(f"GET http://127.0.0.1:1/v1/certificates/{fakes.UUID}: ", reason)

    def test_disk_full(self):
        """A disk that is full before anything was done keeps Heat from learning nothing."""

        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.paths.identity.unlink()
        self.useFixture(fixtures.MonkeyPatch("os.fsync", full))
        for verb in ("install", "prepare", "run"):
            self.assertEqual(1, self.run_verb(verb))
        reason = (
            f"m0: configuration: {self.paths.identity} cannot be written: No space left on device "
            f"(log on that server: {self.paths.log})"
        )
        self.assertEqual({reason}, {signal["reason"] for signal in self.cloud.signals})
        self.assertIn(f"FAILED: {reason}\n", self.log())

    def test_disk_full_in_a_temporary_directory(self):
        """A disk that is full where Python writes by itself is named as well."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))

        def full(*_, **__):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")

        self.useFixture(fixtures.MonkeyPatch("tempfile.mkdtemp", full))
        self.assertEqual(1, self.run_verb("run"))
        self.assertIn("No space left on device: '/tmp/x'", self.cloud.signals[0]["reason"])

    def test_bug(self):
        """What nobody foresaw is signalled too, with its kind."""
        self.paths.daemon.mkdir(parents=True)
        self.assertEqual(1, self.run_verb("prepare"))
        self.assertIn("unexpected IsADirectoryError", self.cloud.signals[0]["reason"])
        self.assertIn("Traceback", self.log())

    def test_bad_configuration(self):
        """A configuration that cannot be used is said in the log."""
        self.paths.config.write_text("{}")
        self.assertEqual(1, self.run_verb("run"))
        self.assertIn("FAILED: m0: configuration: ", self.log())

    def test_renewal(self):
        """After a renewal the join server uses the new certificate as well; else it is left."""
        restart = "systemctl try-restart magnum-swarm-join.service"
        self.assertEqual(0, self.run_verb("renew"))
        self.assertEqual(1, self.programs.calls().count(restart))
        self.assertEqual(0, self.run_verb("renew"))
        self.assertEqual(1, self.programs.calls().count(restart))

    def test_renewal_tells_heat_nothing(self):
        """A renewal that fails is no matter of Heat's."""
        self.cloud.failures = 9
        self.assertEqual(1, self.run_verb("renew"))
        self.assertEqual([], self.cloud.signals)
        self.assertIn("FAILED: m0: certificate renewal: ", self.log())

    def test_no_secret_anywhere(self):
        """Neither log, console nor signal holds a secret of the configuration."""
        self.paths.console.touch()
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        for verb in ("install", "prepare", "run"):
            self.run_verb(verb)
        text = self.log() + self.paths.console.read_text() + str(self.cloud.signals)
        for secret in ("bootstrap-secret", "credential-secret", "signal-password", "SWMTKN"):
            self.assertNotIn(secret, text)
