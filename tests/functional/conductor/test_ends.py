# SPDX-License-Identifier: Apache-2.0
"""The record knows how an operation ended before Magnum's rows do, whose conductor may die."""

import contextlib
import dataclasses

import fixtures

from magnum_swarm_mode.conductor.rotation.credential_state import AGAIN
from magnum_swarm_mode.decisions.model import Debt
from tests.functional.conductor import (
    base,
    test_credential_rotation,
    test_node_groups,
    test_operations,
    test_rotation,
)


def die_before_the_row(test, look):
    """Let a conductor look at a cluster and die where it writes Magnum's row of it."""

    def death(*_, **__):
        raise base.Died

    patch = fixtures.MonkeyPatch("magnum_swarm_mode.conductor.rows.change", death)
    with patch, contextlib.suppress(base.Died):
        look()
    test.assertIn("_IN_PROGRESS", test.cluster(test.uuid).status)


class OperationTest(test_operations.OperationsCase):
    def test_deadline(self):
        """An operation whose end only the record knows ends as failed, and does not go on."""
        self.resize(4)
        self.poll(2)
        self.pass_time(3 * 3600)
        die_before_the_row(self, self.poll)
        self.heat_finishes()

        self.poll(2)

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("did not end before its deadline", cluster.status_reason)
        self.assertEqual(1, len(self.stack.updates))

    def test_heat_away(self):
        """So does one while Heat does not show the cluster."""
        self.resize(4)
        self.poll(2)
        self.pass_time(3 * 3600)
        die_before_the_row(self, self.poll)
        self.cloud.down.add("heat")

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("did not end before its deadline", cluster.status_reason)

    def test_healthy_group(self):
        """Managers are not failed where Heat fails at workers."""
        self.resize(4)
        self.poll()
        self.stack.status, self.stack.reason = "UPDATE_FAILED", "Resource UPDATE failed: no host"

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertEqual("UPDATE_FAILED", cluster.default_ng_worker.status)
        self.assertEqual("CREATE_COMPLETE", cluster.default_ng_master.status)
        self.assertIsNone(cluster.default_ng_master.status_reason)


class GroupTest(test_node_groups.NodeGroupsCase):
    def test_resized_while_it_is_made(self):
        """A group that is resized before anybody looked is complete when all its nodes joined."""
        row = self.add()
        self.resize(3, group="gpu")
        self.finish_group(row)
        nodes = self.docker.answers["/nodes"][1]
        (late,) = [one for one in nodes if one["Description"]["Hostname"] == "swarm-gpu-1"]
        nodes.remove(late)
        self.poll()
        self.finish_group(row, "UPDATE_COMPLETE")
        nodes[:] = [one for one in nodes if one["Description"]["Hostname"] != "swarm-gpu-1"]
        self.poll(3)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertIn("Waiting until swarm-gpu-1 joined", cluster.status_reason)
        nodes.append(late)

        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)


class CertificatesTest(test_rotation.RotationCase):
    def test_stopped(self):
        """A replacement of certificates that stopped ends as failed; a resize resumes it."""
        self.lazy = True
        self.rotate()
        self.poll()
        self.pass_time(1300)
        die_before_the_row(self, self.poll)

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Resize a node group", cluster.status_reason)
        self.resume(2)

    def test_debts(self):
        """Nodes get back what they are owed also while a replacement has stopped."""
        self.lazy = True
        self.rotate()
        self.poll()
        self.pass_time(1300)
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)
        node = self.docker.answers["/nodes"][1][-1]
        node["Spec"]["Availability"] = "drain"
        debts = {node["Description"]["Hostname"]: Debt()}
        self.store.amend(
            self.uuid,
            lambda state: dataclasses.replace(
                state, plan=dataclasses.replace(state.plan, debts=debts)
            ),
        )
        self.pass_time(100)

        base.DRIVER().get_monitor(self.context(), self.cluster(self.uuid)).poll_health_status()

        self.assertEqual("active", node["Spec"]["Availability"])
        record = self.store.get(self.uuid)
        self.assertEqual({}, record.state.plan.debts if record else None)
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)

    def test_before_a_resize(self):
        """That certificates were replaced is said at the end of a resize that follows."""
        self.lazy = True
        self.rotate()
        self.resize(3)
        self.lazy = False
        self.take_over()
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertIn("fetch the client's files again", cluster.status_reason)


class CredentialTest(test_credential_rotation.RotationCase):
    def test_done(self):
        """A rotation that is done ends as complete, not with an earlier failure."""
        self.resize(4)
        self.poll()
        self.stack.status, self.stack.reason = "UPDATE_FAILED", "Resource UPDATE failed: no host"
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)
        self.rotate()
        self.poll()
        self.stack.status = "UPDATE_COMPLETE"
        self.acknowledge(self.told().generation)
        die_before_the_row(self, self.poll)

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("The credential was rotated. Before that: ", cluster.status_reason)

    def test_given_up_before_a_resize_that_fails(self):
        """What fails after a rotation that was given up says so, and how to go on."""
        self.rotate()
        self.stack.status = "UPDATE_COMPLETE"
        self.resize(3)
        self.pass_time(700)
        self.poll(2)
        self.stack.status, self.stack.reason = "UPDATE_FAILED", "Resource UPDATE failed: no host"
        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("no host", cluster.status_reason)
        self.assertEqual(1, cluster.status_reason.count(AGAIN))
