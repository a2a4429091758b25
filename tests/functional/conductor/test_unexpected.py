# SPDX-License-Identifier: Apache-2.0
"""How an operation ends of which each look meets an error that nobody expects."""

import fixtures

from tests.functional.conductor import (
    base,
    test_credential_rotation,
    test_node_groups,
    test_operations,
    test_rotation,
)

WHY = (
    "failed: magnum-conductor met an error 10 times in a row that it does not expect (TypeError); "
    "the operator finds it in its log under the uuid of the cluster."
)
REPEAT = "The cluster stays as it is; repeat the request when the operator has mended the cause."
HERE = "magnum_swarm_mode"


def _break(*_, **__):
    raise TypeError("a secret of the conductor")


class UnexpectedCase(base.DriverTest):
    def ends(self, uuid, what):
        """Return what the cluster's row says when each look has failed often enough."""
        with fixtures.MonkeyPatch(f"{HERE}.{what}", _break):
            self.poll(10)
        cluster = self.cluster(uuid)
        # Nobody looks at it again.
        self.assertNotIn("_IN_PROGRESS", cluster.status)
        return f"{cluster.status}: {cluster.status_reason}"


class CreationTest(UnexpectedCase):
    def test_creation(self):
        """A creation ends with what failed, where the operator finds more, and what to do."""
        self.assertEqual(
            f"CREATE_FAILED: The creation of the cluster {WHY} Delete the cluster and create it "
            "again when that is mended.",
            self.ends(self.create(), "decisions.status.decide"),
        )


class OperationTest(UnexpectedCase, test_operations.OperationsCase):
    def test_resize(self):
        """A resize ends with the name of its group, and fails no other one."""
        self.resize(4)

        said = self.ends(self.uuid, "decisions.change.decide")

        self.assertEqual(f"UPDATE_FAILED: The change of default-worker {WHY} {REPEAT}", said)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.default_ng_worker.status)
        self.assertEqual("CREATE_COMPLETE", cluster.default_ng_master.status)
        self.resize(4)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_deletion(self):
        """A deletion ends so as well, and goes on when it is requested again."""
        self.delete(self.uuid)

        self.assertEqual(
            f"DELETE_FAILED: The deletion of the cluster {WHY} Delete the cluster again.",
            self.ends(self.uuid, "decisions.status.decide"),
        )
        self.delete(self.uuid)
        self.cloud.finish_deletes()
        self.poll(2)
        self.assertEqual([], self.clusters())


class GroupTest(UnexpectedCase, test_node_groups.NodeGroupsCase):
    def test_deletion(self):
        """A deletion that ends at its node groups says so as well."""
        self.made()
        self.delete(self.uuid)

        self.assertIn(WHY, self.ends(self.uuid, "conductor.delete.groups_are_gone"))

    def test_creation(self):
        """The creation of a node group ends with its name."""
        self.add()

        self.assertEqual(
            f"UPDATE_FAILED: The change of gpu {WHY} {REPEAT}",
            self.ends(self.uuid, "decisions.change.decide"),
        )


class CertificatesTest(UnexpectedCase, test_rotation.RotationCase):
    def test_replacement(self):
        """A replacement of certificates ends with how to have it go on, and fails no group."""
        self.lazy = True
        self.rotate()

        self.assertEqual(
            f"UPDATE_FAILED: The replacement of certificates {WHY} Resize a node group to its "
            "present count to go on.",
            self.ends(self.uuid, "conductor.rotation.ca_steps.Look._adopt"),
        )
        self.assertEqual(
            {"CREATE_COMPLETE"}, {row.status for row in self.cluster(self.uuid).nodegroups}
        )
        self.resume(2)

    def test_step(self):
        """A step that meets such errors names nothing of them but their kind."""
        self.lazy = True
        self.rotate()
        self.poll()
        with fixtures.MonkeyPatch(f"{HERE}.conductor.rotation.ca_steps.Look._waits", _break):
            self.poll()

        self.assertIn("(TypeError)", self.cluster(self.uuid).status_reason)
        self.assertNotIn("secret", self.cluster(self.uuid).status_reason)


class CredentialTest(UnexpectedCase, test_credential_rotation.RotationCase):
    def test_rotation(self):
        """A rotation of the credential ends with what is valid then, and can be repeated."""
        self.rotate()

        self.assertEqual(
            f"UPDATE_FAILED: The rotation of the credential {WHY} The former credential stays "
            "valid; rotate the credential again.",
            self.ends(self.uuid, "conductor.rotation.credential.CredentialRotation._take"),
        )
        self.stack.status = "UPDATE_COMPLETE"
        self.rotate()
        self.finish()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
