# SPDX-License-Identifier: Apache-2.0
"""What the rows of node groups say of a failure: only what concerns the group itself."""

from typing import Any

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.decisions.status import NOT_AT_FAULT
from tests.functional.conductor import base, test_node_groups


def failed(name: str, kind: str, reason: str, stack: str = "s") -> dict[str, Any]:
    """Return a resource that Heat lists as failed."""
    return {
        "resource_name": name,
        "resource_type": kind,
        "physical_resource_id": "",
        "resource_status": "CREATE_FAILED",
        "resource_status_reason": reason,
        "updated_time": "2026-01-01T00:00:00Z",
        "links": [{"rel": "stack", "href": f"http://heat/stacks/{stack}/id"}],
    }


class CreationTest(base.DriverTest):
    def reasons(self, uuid):
        """Return what the cluster's row says, and those of managers and workers."""
        cluster = self.cluster(uuid)
        groups = (cluster.default_ng_master, cluster.default_ng_worker)
        self.assertEqual({cluster.status}, {group.status for group in groups})
        return (cluster.status_reason, *(group.status_reason for group in groups))

    def fail(self, *resources):
        stack = self.cloud.stack()
        stack.status, stack.failed = "CREATE_FAILED", list(resources)
        self.poll()

    def test_worker(self):
        """A server of a worker that cannot be made is in the workers' row alone."""
        uuid = self.create()
        group = "swarm-mode-u-workers-abcdefghijkl"
        self.fail(failed("1", "Magnum::SwarmMode::Worker", "Quota exceeded", group))

        said = (
            "The server swarm-worker-1 failed: Quota exceeded. Delete something or ask the "
            "operator for a larger quota."
        )
        self.assertEqual((said, NOT_AT_FAULT, said), self.reasons(uuid))

    def test_manager(self):
        """A manager that cannot join is in the managers' row alone."""
        uuid = self.create()
        said = "swarm-manager-0: clock: off."
        self.fail(failed("manager_ready", "OS::Heat::WaitCondition", said))

        self.assertEqual((said, said, NOT_AT_FAULT), self.reasons(uuid))

    def test_network(self):
        """What belongs to no node is the reason of both groups."""
        uuid = self.create()
        self.fail(failed("router", "OS::Neutron::Router", "no"))

        said = (
            "The creation of the cluster failed: Resource router (OS::Neutron::Router) failed: no."
        )
        self.assertEqual((said, said, said), self.reasons(uuid))

    def test_swarm(self):
        """A worker that is missing in the swarm is in the workers' row alone."""
        uuid = self.create()
        self.serve_docker(uuid).answers["/nodes"][1].pop()
        self.finish_stack()
        self.poll()
        waiting, managers, workers = self.reasons(uuid)
        self.assertEqual((waiting, None), (workers, managers))
        self.pass_time(301)

        self.poll()

        lacking, managers, workers = self.reasons(uuid)
        self.assertIn("CREATE_FAILED", self.cluster(uuid).status)
        self.assertIn("(missing: swarm-worker-1)", lacking)
        self.assertEqual((NOT_AT_FAULT, lacking), (managers, workers))

    def test_refused(self):
        """A creation that ends before Heat is asked leaves no group in creation."""
        self.assertRaises(exceptions.Refused, self.create, labels={"manager_availability": "no"})

        (cluster,) = self.clusters()
        self.assertEqual(
            2 * [("CREATE_FAILED", NOT_AT_FAULT)],
            [(group.status, group.status_reason) for group in cluster.nodegroups],
        )


class FurtherGroupTest(test_node_groups.NodeGroupsCase):
    def test_deletion(self):
        """A stack that Heat cannot delete is in the row of its own group alone."""
        row = self.made()
        self.delete(self.uuid)
        stack = self.stack_of(row)
        stack.status, stack.reason = "DELETE_FAILED", "A port is in use."

        self.poll()

        cluster = self.cluster(self.uuid)
        said = f"The deletion of the cluster failed: {stack.reason}"
        self.assertEqual(("DELETE_FAILED", said), (cluster.status, cluster.status_reason))
        self.assertEqual(
            {
                ("default-master", "DELETE_FAILED", NOT_AT_FAULT),
                ("default-worker", "DELETE_FAILED", NOT_AT_FAULT),
                ("gpu", "DELETE_FAILED", stack.reason),
            },
            {(one.name, one.status, one.status_reason) for one in cluster.nodegroups},
        )

    def test_change(self):
        """A group that Heat fails at is in its own row, and another one's row does not name it."""
        gpu = self.made()
        self.made(name="ssd")
        self.resize(3, group="gpu")
        self.resize(3, group="ssd")
        self.poll()
        stack = self.stack_of(gpu)
        self.assertEqual("UPDATE_IN_PROGRESS", stack.status)
        stack.status, stack.reason = "UPDATE_FAILED", "The server swarm-gpu-2 failed."
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("swarm-gpu-2", cluster.status_reason)
        said = {one.name: (one.status, one.status_reason) for one in cluster.nodegroups}
        self.assertEqual(("UPDATE_FAILED", cluster.status_reason), said["gpu"])
        self.assertEqual(("UPDATE_FAILED", NOT_AT_FAULT), said["ssd"])
        self.assertEqual(("CREATE_COMPLETE", None), said["default-worker"])
