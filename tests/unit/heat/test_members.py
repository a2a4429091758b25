# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode.heat import members
from magnum_swarm_mode.heat.client import Stack


def stack(outputs, **parameters):
    return Stack("id", "name", "CREATE_COMPLETE", "", outputs, parameters)


class AddressesTest(base.BaseTestCase):
    def of_cluster(self, **changed):
        outputs = {
            "node_configuration": {
                "managers": {"0": {"address": "10.0.0.11"}, "4": {"address": "10.0.0.12"}, "5": {}}
            },
            "worker_servers": {"10": "s10", "2": "s2", "1": "s1"},
            "worker_green_servers": {"0": "g0"},
            "worker_addresses": ["10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.100"],
            **changed,
        }
        return members.addresses(stack(outputs, node_name_prefix="c"), is_default=True)

    def test_cluster(self):
        """Managers have addresses by index; those of workers are in the order of their indices."""
        self.assertEqual(
            {
                "c-worker-1": "10.0.0.1",
                "c-worker-2": "10.0.0.2",
                "c-worker-10": "10.0.0.10",
                "c-worker-g0": "10.0.0.100",
                "c-manager-0": "10.0.0.11",
                "c-manager-4": "10.0.0.12",
            },
            self.of_cluster(),
        )

    def test_group(self):
        """So are those of a further group."""
        outputs = {"servers": {"1": "s"}, "green_servers": {}, "addresses": ["10.0.0.1"]}
        found = members.addresses(stack(outputs, group_name_prefix="c-gpu"), is_default=False)
        self.assertEqual({"c-gpu-1": "10.0.0.1"}, found)

    def test_missing(self):
        """Where one worker has no address others keep theirs; a list that is short names none."""
        addresses = ["10.0.0.1", None, "10.0.0.10", "10.0.0.100"]
        found = self.of_cluster(worker_addresses=addresses)
        self.assertEqual("10.0.0.10", found["c-worker-10"])
        self.assertNotIn("c-worker-2", found)
        for short in (addresses[1:], None):
            found = self.of_cluster(worker_addresses=short, node_configuration=None)
            self.assertEqual({}, found)
