# SPDX-License-Identifier: Apache-2.0
"""Every rotation ends: whatever was interrupted, is missing, or never answers."""

import dataclasses

from magnum_swarm_mode import stored
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.decisions.record import Kind
from magnum_swarm_mode.decisions.rotation import CaRotation, CredentialRotation
from tests import cases
from tests.functional.conductor import (
    fake_cloud,
    test_credential_rotation,
    test_node_groups,
    test_rotation,
)

HOURS = 2 * 3600


class CredentialTest(test_credential_rotation.RotationCase):
    def change(self, **changes):
        """Change the record as a conductor that died, or a newer release, left it."""
        record = self.record()
        return self.store.write(record, dataclasses.replace(record.state, **changes))

    def interrupted(self, **rotation):
        """Leave a rotation behind whose rights were revoked and forgotten already."""
        self.change(credential=stored.load(CredentialRotation, {"number": 1, **rotation}))
        rows.change(self.uuid, "CREATE_COMPLETE", {"status": "UPDATE_IN_PROGRESS"})
        self.poll()

    def assert_stopped(self, *said):
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        for text in (*said, test_credential_rotation.AGAIN):
            self.assertIn(text, cluster.status_reason)
        self.assertIsNone(self.state().credential)

    def test_cleaner_died(self):
        """A rotation ends whose conductor died, and whose next one died after it had cleaned up."""
        for step in ("making", "asking"):
            with self.subTest(step=step):
                self.interrupted(step=step, credential="unknown")
                self.assert_stopped("The rotation of the credential was interrupted.")
                rows.change(self.uuid, "UPDATE_FAILED", {"status": "CREATE_COMPLETE"})

    def test_hardly_begun(self):
        """A rotation ends of which the record says next to nothing."""
        self.interrupted(step="telling")
        self.pass_time(HOURS)
        self.poll()
        self.assert_stopped()

    def test_unknown_step(self):
        """A step of a newer release is left to it, but not for ever; its fields survive."""
        self.interrupted(step="polishing", later=[1])
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.assertEqual([1], self.state().credential.unknown["later"])
        self.pass_time(HOURS)
        self.poll()
        self.assert_stopped()

    def test_fields_of_a_newer_release(self):
        """What a newer release wrote into a rotation and its rights stays while it goes on."""
        self.rotate()
        state = self.state()
        self.change(
            credential=dataclasses.replace(state.credential, unknown={"later": 1}),
            owned=tuple(
                dataclasses.replace(one, unknown={"later": 2}) if one.kind == Kind.TRUST else one
                for one in state.owned
            ),
        )
        self.stack.status = "UPDATE_COMPLETE"
        self.acknowledge(self.told().generation)
        self.cloud.service_is_admin = False
        self.poll()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        former, _ = self.state().things(Kind.TRUST)
        self.assertEqual({"later": 2}, former.unknown)

    def test_heat_never_ends(self):
        """A Heat that is at work for ever stops the rotation, and is named."""
        self.rotate()
        self.acknowledge(self.told().generation)
        self.pass_time(HOURS)
        self.poll()
        self.assert_stopped("Heat is at work")
        cluster = self.cluster(self.uuid)
        cases.shown(self, "credential-heat-at-work", cluster.status_reason, answer=cluster.status)

    def test_managers_never_answer(self):
        """Managers that are switched off for long stop the rotation, with the reason for each."""
        self.rotate()
        self.docker.stop()
        self.poll()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.pass_time(HOURS)
        self.poll()
        self.assert_stopped("The Docker API answers on no manager")

    def test_heat_shows_nothing(self):
        """A stack that was deleted from outside stops the rotation."""
        self.rotate()
        self.acknowledge(self.told().generation)
        self.cloud.stacks.clear()
        self.poll()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.pass_time(HOURS)
        self.poll()
        self.assert_stopped("Heat does not show")


class GroupsTest(test_credential_rotation.RotationCase, test_node_groups.NodeGroupsCase):
    """Further node groups of which something is missing."""

    def note(self, **groups):
        record = self.store.get(self.uuid)
        assert record is not None
        state = record.state
        for key, known in groups.items():
            state = state.owning(Kind.GROUP, key, **known)
        self.store.write(record, state)

    def assert_rotated(self):
        self.rotate()
        self.finish()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        self.assertEqual(
            (fake_cloud.MEMBER, None), (self.state().owner_id, self.state().credential)
        )

    def test_no_stack(self):
        """A node group that was never made, or half forgotten, does not block a rotation."""
        self.note(gpu={"name": "never-made", "prefix": "swarm-gpu"}, odd={"trust": ""})
        self.assert_rotated()

    def test_no_stack_and_no_owner(self):
        """Nor does it when the cluster's owner has lost his role."""
        self.note(gpu={"name": "never-made", "prefix": "swarm-gpu"})
        self.cloud.remove_roles(fake_cloud.OWNER)
        self.assert_rotated()

    def test_stack_gone_meanwhile(self):
        """A group whose stack goes while the credential is rotated is not waited for."""
        row = self.made()
        self.rotate()
        self.stack.status = "UPDATE_COMPLETE"
        del self.cloud.stacks[self.stack_of(row).id]
        record = self.record()
        half = record.state.owning(Kind.GROUP, row.uuid, name="", id="", trust="")
        self.store.write(record, half)
        self.finish()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_group_cannot_be_made(self):
        """A group that Heat cannot make stops no rotation; its failure is said at the end."""
        row = self.made()
        self.rotate()
        stack = self.stack_of(row)
        stack.status, stack.reason = "UPDATE_FAILED", "Resource UPDATE failed: no host"
        self.finish()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("The credential was rotated.", cluster.status_reason)
        self.assertIn("no host", cluster.status_reason)
        self.assertEqual([], grants.others(self.state()))


class CertificatesTest(test_rotation.RotationCase):
    def change(self, **changes):
        record = self.store.get(self.uuid)
        assert record is not None
        self.store.write(record, dataclasses.replace(record.state, **changes))

    def test_fields_of_a_newer_release(self):
        """What a newer release wrote into a rotation stays while it goes on."""
        self.lazy = True
        self.rotate()
        self.change(ca=stored.load(CaRotation, {**self.state(), "later": 1}))
        self.poll()
        self.assertEqual(1, self.state()["later"])

    def test_unknown_step(self):
        """A step of a newer release is left to it, but not for ever."""
        self.rotate()
        self.change(ca=stored.load(CaRotation, {**self.state(), "step": "polish"}))
        self.poll()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.pass_time(HOURS)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Resize a node group to its present count", cluster.status_reason)

    def test_silent_at_the_end(self):
        """Managers that go off when all is done do not keep the rotation from its end."""
        self.rotate()
        self.change(ca=stored.load(CaRotation, {**self.state(), "step": "clean"}))
        self.docker.stop()
        self.poll()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.pass_time(HOURS)
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)

    def test_half_forgotten_group(self):
        """A node group of which next to nothing is recorded does not stop a rotation."""
        before = self.references()
        record = self.store.get(self.uuid)
        assert record is not None
        self.store.write(record, record.state.owning(Kind.GROUP, "odd", prefix="swarm-odd"))
        self.rotate()
        self.go_on()
        self.assert_done(before)
