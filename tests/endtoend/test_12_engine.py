# SPDX-License-Identifier: Apache-2.0
"""What was seen of the cluster of :mod:`tests.endtoend.accepted`."""

from devcloud import settings
from tests.endtoend import base
from tests.endtoend.accepted import NAME, VERSION, outcome
from tests.endtoend.prepared import REGISTRY

# What a kernel without IPVS and ESP cannot do.
BROKEN = {
    "virtual-address": "nothing answers at ",
    "routing-mesh": "answers nobody",
    "encrypted": "(are ESP packets allowed?)",
}


class TestEngineInstallation(base.EndToEndTestCase):
    """Nodes without an engine get one of the wanted version through the proxy they are given."""

    def setUp(self) -> None:
        super().setUp()
        self.run_ = outcome()
        self.assertIsNotNone(self.run_.seen, self.run_.progress + self.run_.table)

    def test_packages(self) -> None:
        """Packages come from the mirror and, for one of the nodes, out of the cache."""
        got = [
            result
            for result, method, url in self.run_.requests
            if method == "GET" and "/docker.io_" in url
        ]
        self.assertEqual(2, len(got), "each node fetches the engine once")
        self.assertTrue(all(result.endswith("/200") for result in got), got)
        hits = [one for one in self.run_.requests if "HIT" in one[0] and one[2].endswith(".deb")]
        self.assertNotEqual([], hits, "no package came out of the cache")

    def test_logs(self) -> None:
        """What containers say arrives at the server of syslog that a label names."""
        found = [one for one in self.run_.logged if "probe " in one]
        self.assertNotEqual([], found, str(self.run_.logged[:3]))

    def test_engine(self) -> None:
        """The engine has the version and stays at it; nothing of the installation is left."""
        assert self.run_.seen
        self.assertEqual(VERSION, ".".join(self.run_.seen.version.split(".")[:2]))
        self.assertEqual("disabled\ndocker.io", self.run_.seen.left)

    def test_proxy(self) -> None:
        """The engine asks the proxy for a registry, and nothing asks it for what is excepted."""
        self.assertIn(("TCP_DENIED/403", "CONNECT", f"{REGISTRY}:443"), self.run_.requests)
        direct = [one for one in self.run_.requests if settings.HOST_ADDRESS in one[2]]
        self.assertEqual([], direct, "no_proxy is not honoured")


class TestAcceptance(base.EndToEndTestCase):
    """What tools/acceptance says of this cloud."""

    def test_table(self) -> None:
        """What this kernel cannot do is shown as failed, with the reason; all else passes."""
        run = outcome()
        rows = [line.split(maxsplit=3) for line in run.table.splitlines()[1:-1]]
        failed = {row[0]: row[3] for row in rows if row[1] == "FAILED"}
        self.assertEqual(set(BROKEN), set(failed), run.progress + run.table)
        for name, reason in BROKEN.items():
            self.assertIn(reason, failed[name])
        self.assertEqual("11 passed, 3 failed, 0 not tried", run.table.splitlines()[-1])
        self.assertEqual(1, run.status)

    def test_nothing_is_left(self) -> None:
        """Neither its cluster nor its template stays."""
        outcome()
        for path in (f"/clusters/{NAME}", f"/clustertemplates/{NAME}"):
            self.assertIsNone(self.demo.cloud.find("container-infra", path))
