# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import fixtures
from oslotest import base

from benchmarks import costs
from benchmarks.costs import Bound, Costs
from devcloud import settings


class TestCosts(base.BaseTestCase):
    def test_between_two_looks(self) -> None:
        """What a service used that was not there before counts whole."""
        before = Costs(10.0, {"neutron": 5.0, costs.MACHINES: 1.0}, 20.0, 30.0)
        after = Costs(14.0, {"neutron": 7.0, "heat": 1.5, costs.MACHINES: 4.0}, 27.0, 31.0)
        used = after.since(before)
        self.assertEqual(
            Costs(4.0, {"neutron": 2.0, "heat": 1.5, costs.MACHINES: 3.0}, 7.0, 1.0), used
        )
        self.assertEqual((3.5, 3.0), (used.services, used.machines))
        self.assertEqual(
            "6.5 s of processor in 4.0 s: machines 3.0, neutron 2.0, heat 1.5, the rest 0.0; "
            "other processes of the host 0.5, idle 1.0",
            costs.describe(used),
        )

    def _files(self, **files: str) -> Path:
        root = Path(self.useFixture(fixtures.TempDir()).path)
        for name, text in files.items():
            top, _, file = name.partition("__")
            for machine in ("one", "two"):
                path = root / top / settings.CGROUP / machine / file.replace("_", ".", 1)
                path.parent.mkdir(parents=True)
                path.write_text(text)
            (root / top / "cgroup.procs").touch()
        return root

    def test_machines_of_version_1(self) -> None:
        """The hierarchy of accounts is asked, wherever that of the scheduler is."""
        root = self._files(cpu__cpu_stat="nr_periods 7\n", cpuacct__cpuacct_usage="1500000000\n")
        self.assertEqual(3.0, costs._of_machines(root))

    def test_machines_of_version_2(self) -> None:
        """The one hierarchy says it in a line of its own."""
        root = self._files(unified__cpu_stat="user_usec 1\nusage_usec 2500000\n")
        self.assertEqual(5.0, costs._of_machines(root))


class TestBound(base.BaseTestCase):
    def test_what_processors_allow(self) -> None:
        """Nobody is faster than all processors at work all the time."""
        bound = Bound(loop=10.0, machines=16.0, services=44.0, processors=2)
        self.assertEqual(3.0, bound.ratio)
        self.assertEqual(16.0, bound.services_for(1.6))
        self.assertIn("are 3.00 times its 10.0 s on 2 processors", bound.describe(1.6))
        self.assertIn("for 1.6 times the services might take 16.0 s", bound.describe(1.6))
