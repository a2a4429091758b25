# SPDX-License-Identifier: Apache-2.0
"""What a user reads when a node fails: from the program through Heat's words to status_reason.

The same causes are brought about on real nodes in tests/endtoend/test_11_failures.py.
"""

import errno
import os
import time
from email.utils import formatdate
from typing import Any

import fixtures

from magnum_swarm_mode.heat import failures
from magnum_swarm_mode.node import main
from magnum_swarm_mode.node.duties import engine
from tests import cases
from tests.unit.node import fakes


class FailingTest(fakes.ProgramTest):
    def _reads(self, ident: str) -> None:
        """Compare what the user reads of the first signal."""
        signal = self.cloud.signals[0]
        self.assertEqual("FAILURE", signal["status"])
        words = signal["reason"].replace(str(self.paths.root), "")
        resource = failures.Resource.from_api(
            {
                "resource_name": "manager_ready",
                "resource_status_reason": f"WaitConditionFailure: resources.manager_ready: {words}",
            }
        )
        code = failures.code_of(resource, {fakes.SERVER: {**signal, "reason": words}})
        self.assertIsNotNone(code)
        sentence = failures.explain(resource, "c", code=code)
        cases.shown(self, ident, sentence, answer="CREATE_FAILED")

    def _patch(self, module: Any, name: str, value: Any) -> None:
        self.addCleanup(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    def test_certificate_refused(self) -> None:
        """Keystone refuses the cluster's application credential."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        answer = self.cloud.answer

        def refuse(request: fakes.Request) -> Any:
            if "application_credential" in str(request.body):
                return 401, {}, {"error": {"message": "Could not recognize Credential."}}
            return answer(request)

        self.cloud.answer = refuse  # type: ignore[method-assign]
        self.assertEqual(1, self.run_verb("run"))
        self._reads("failing-certificate")

    def test_magnum_unreachable(self) -> None:
        """Magnum's address leads nowhere."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        config = fakes.config_json(managers=1, **self.cloud.sections())
        config["openstack"]["magnum_url"] = "http://127.0.0.1:1/v1"
        config["join"]["timeout"] = 1
        self.make_node(config)
        self.assertEqual(1, self.run_verb("run"))
        self._reads("failing-magnum")

    def test_manager_unreachable(self) -> None:
        """No manager answers a worker."""
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        config = fakes.config_json("worker", managers=1, ca_certificate=self.authority.pem)
        config["signal"] = self.cloud.sections()["signal"]
        config["join"].update(port=1, timeout=1)
        self.make_node(config)
        self.assertEqual(1, self.run_verb("run"))
        self._reads("failing-join")

    def test_disk_full(self) -> None:
        """Nothing can be written."""

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.useFixture(fixtures.MonkeyPatch("os.fsync", full))
        self.assertEqual(1, self.run_verb("prepare"))
        self._reads("failing-disk")

    def test_engine(self) -> None:
        """The engine does not start."""
        self.programs.add("systemctl", "echo Job failed >&2; exit 1")
        self.programs.add("journalctl", "echo unable to configure the Docker daemon")
        self._patch(engine, "START_TIMEOUT", 0)
        self.assertEqual(1, self.run_verb("run"))
        self._reads("failing-engine")

    def test_clock(self) -> None:
        """Keystone's date is another day's."""
        self.cloud.date = formatdate(time.time() - 86400, usegmt=True)
        self._patch(main, "CLOCK_TIMEOUT", 0)
        self.assertEqual(1, self.run_verb("run"))
        self._reads("failing-clock")

    def _lack_engine(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "magnum_swarm_mode.node.duties.packages.missing", lambda _: ["engine"]
            )
        )
        for name in ("dpkg", "apt-get"):
            self.programs.add(name)

    def test_packages(self) -> None:
        """No mirror can be reached."""
        self._lack_engine()
        said = "E: Failed to fetch http://m/x  Temporary failure resolving 'm'"
        self.programs.add("apt-get", f'echo "{said}" >&2; exit 100')
        config = fakes.config_json(managers=1, **self.cloud.sections())
        config["join"]["timeout"] = 1
        self.make_node(config)
        self.assertEqual(1, self.run_verb("prepare"))
        self._reads("failing-packages")

    def test_version(self) -> None:
        """No repository has the version that is asked for."""
        self._lack_engine()
        offered = '[ "$2" = docker.io ] && echo " docker.io | 20.10.24+dfsg1-1 | http://m x"; :'
        self.programs.add("apt-cache", offered)
        config = fakes.config_json(managers=1, **self.cloud.sections())
        config["engine"]["version"] = "99.9"
        self.make_node(config)
        self.assertEqual(1, self.run_verb("prepare"))
        self._reads("failing-version")
