# SPDX-License-Identifier: Apache-2.0
from tests.functional.conductor import base, fake_cloud

GROUP = "security-group-id"


class PortsTest(base.DriverTest):
    """A cluster of which a worker's server was deleted behind Heat's back."""

    def setUp(self):
        super().setUp()
        self.uuid = self.create(managers=1, workers=2)
        self.serve_docker(self.uuid)
        self.finish_stack()
        self.poll()

    def port(self, ident, name, group=GROUP, project=fake_cloud.PROJECT, device=""):
        self.cloud.ports[ident] = {
            "id": ident,
            "name": name,
            "security_groups": [group],
            "project": project,
            "device_id": device,
            "device_owner": "compute:nova" if device else "",
        }

    def test_left_behind(self):
        """Ports of servers that are gone are deleted with the cluster, and nothing else is."""
        self.port("left", "0-port-0")
        self.port("used", "1-port-0", device="server-worker-1")
        self.port("manager", "swarm-manager-0")
        self.port("own", "my-port-1")
        self.port("another", "0-port-0", group="another-group")

        self.delete(self.uuid)

        self.assertEqual({"used", "manager", "own", "another"}, set(self.cloud.ports))
        self.assertEqual("DELETE_IN_PROGRESS", self.cloud.stack().status)

    def test_in_the_making(self):
        """While Heat is at work a port may be of a server that is still to come."""
        self.port("new", "2-port-0")
        self.cloud.stack().status = "UPDATE_IN_PROGRESS"

        self.delete(self.uuid)

        self.assertEqual({"new"}, set(self.cloud.ports))

    def test_neutron_away(self):
        """A Neutron that does not serve keeps nobody from deleting a cluster."""
        self.port("left", "0-port-0")
        del self.cloud.ports["left"]["security_groups"]

        self.delete(self.uuid)

        self.assertEqual("DELETE_IN_PROGRESS", self.cloud.stack().status)
