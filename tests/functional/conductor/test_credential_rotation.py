# SPDX-License-Identifier: Apache-2.0
import base64
import contextlib
import dataclasses

from magnum.common import exception as magnum_exception
from magnum.conductor.handlers import credential_conductor
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.conductor.change import requests
from magnum_swarm_mode.db import schema
from magnum_swarm_mode.decisions.record import Kind
from magnum_swarm_mode.swarm import manager_settings
from tests import cases
from tests.functional.conductor import base, fake_cloud, test_node_groups, test_operations

AGAIN = "rotate the credential again"


class RotationCase(test_operations.OperationsCase):
    """A cluster of a creator, and another member of the project."""

    def setUp(self):
        super().setUp()
        self.manager = next(
            node for node in self.docker.answers["/nodes"][1] if node.get("ManagerStatus")
        )
        self.acknowledge(0)

    def acknowledge(self, generation):
        """Let the manager say which settings it has taken over."""
        self.manager["Spec"]["Labels"][manager_settings.LABEL] = str(generation)

    def rotate(self, user=fake_cloud.MEMBER, **token):
        """Ask the conductor as magnum-api does."""
        credential_conductor.Handler().credential_rotate(
            self.context(user, **token), self.cluster(self.uuid)
        )

    def finish(self):
        """Let Heat and the manager do what they were told, and the conductor see it."""
        self.poll()
        self.stack.status = "UPDATE_COMPLETE"
        self.acknowledge(self.told().generation)
        self.poll()

    def told(self):
        """Return what managers are told now."""
        return max(
            (
                manager_settings.Settings(
                    int(one["Spec"]["Name"].removeprefix(manager_settings.PREFIX)),
                    one["Spec"]["Data"],
                )
                for one in self.docker.answers["/configs"][1]
                if one["Spec"]["Name"].startswith(manager_settings.PREFIX)
            ),
            key=lambda one: one.generation,
            default=manager_settings.Settings(),
        )

    def record(self):
        record = self.store.get(self.uuid)
        assert record is not None
        return record

    def state(self):
        return self.record().state

    def trustors(self):
        """Return who has given trusts, and to whom.

        Up to its release 22 Magnum has one made to a user of the cluster's own, which nothing uses.
        """
        return sorted(
            (trust["trustor_user_id"], trust["trustee_user_id"])
            for trust in self.cloud.trusts.values()
            if trust["trustee_user_id"] in (fake_cloud.HEAT, fake_cloud.MAGNUM)
        )

    def names(self):
        return sorted((c["user"], c["name"]) for c in self.cloud.credentials.values())

    def name(self, number):
        return f"magnum-swarm-mode-node-{self.uuid}" + (f"-{number}" if number else "")

    def assert_belongs_to(self, user, number):
        """Nothing but one user's rights exists, and the record says so."""
        self.assertEqual([(user, self.name(number))], self.names())
        self.assertEqual(
            sorted([(user, fake_cloud.HEAT), (user, fake_cloud.MAGNUM)]), self.trustors()
        )
        state = self.state()
        self.assertEqual((user, number), (state.owner_id, state.grant))
        self.assertEqual(([], None), (grants.others(state), state.credential))
        self.assertEqual(user, self.cluster(self.uuid).user_id)
        self.assertIn(state.trust_id, self.cloud.trusts)
        self.assertEqual(self.stack.trust, state.stack.trust)
        self.assertEqual(
            list(self.cloud.credentials), [self.stack.parameters["node_credential_id"]]
        )
        rules = {rule["user"] for rule in self.cloud.rules.values()}
        self.assertIn(user, rules)


class RotateTest(RotationCase):
    def test_other_member(self):
        """Another member's rights take the place of the creator's, step by step."""
        self.rotate()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertEqual(2, len(self.cloud.credentials))
        made = self.stack.parameters["node_credential_id"]
        (config,) = [
            one for one in self.docker.answers["/configs"][1] if "settings" in one["Spec"]["Name"]
        ]
        self.assertIn(made, text_of(config))
        self.poll()
        self.assertEqual(
            "0 of 1 managers use the new credential. Heat hands it to those that come later.",
            self.cluster(self.uuid).status_reason,
        )
        self.assertEqual(2, len(self.cloud.credentials))

        self.finish()

        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assert_belongs_to(fake_cloud.MEMBER, 1)
        self.resize(3)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual(fake_cloud.MEMBER, self.stack.updates[-1][0].user)
        self.assert_nothing_stays()

    def assert_nothing_stays(self):
        self.delete(self.uuid, self.context(fake_cloud.MEMBER))
        self.poll()
        self.cloud.finish_deletes()
        self.poll()
        self.assertEqual([], self.clusters())
        left = self.cloud.leftovers()
        # Only its owner's own token removes a rule, which grants nothing.
        self.assertEqual({"rules"} & set(left), set(left))

    def test_owner_twice(self):
        """The owner rotates as often as he likes; each time the former credential is gone."""
        for number in (1, 2):
            self.rotate(fake_cloud.OWNER)
            self.finish()
            self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
            self.assert_belongs_to(fake_cloud.OWNER, number)
        self.assertEqual(2, self.told().generation)
        self.assert_nothing_stays()

    def test_creator_deleted(self):
        """A cluster whose creator was deleted cannot be changed until somebody takes it over."""
        self.cloud.remove_user(fake_cloud.OWNER)
        self.resize(3, context=self.context(fake_cloud.MEMBER))
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "owner-gone", cluster.status_reason, answer=cluster.status)
        self.assertEqual([], self.stack.updates)

        self.rotate()
        self.finish()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn(
            "The credential was rotated. Before that: The change of default-worker failed: The "
            "cluster cannot be",
            cluster.status_reason,
        )
        self.assert_belongs_to(fake_cloud.MEMBER, 1)
        self.resize(3, context=self.context(fake_cloud.MEMBER))
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assert_nothing_stays()

    def test_creator_without_role(self):
        """What Heat cannot let go by itself of a creator without a role is removed for it."""
        self.cloud.remove_roles(fake_cloud.OWNER)

        self.rotate()
        self.finish()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assert_belongs_to(fake_cloud.MEMBER, 1)
        self.assert_nothing_stays()

    def test_creator_without_role_unknown_trust(self):
        """Where Heat's trust is not known, an administrator is told what to do; nothing changed."""
        record = self.record()
        self.store.write(record, record.state.owning(Kind.STACK, trust=""))
        self.cloud.remove_roles(fake_cloud.OWNER)
        before = self.cloud.leftovers()

        error = self.assertRaises(magnum_exception.InvalidParameterValue, self.rotate)

        cases.shown(
            self, "stack-cannot-change-hands", str(error).removesuffix("."), answer=error.code
        )
        self.assertEqual(before["trusts"], self.cloud.leftovers()["trusts"])
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual((None, []), (self.state().credential, grants.others(self.state())))

    def test_delete_without_role(self):
        """Another member can delete the cluster of a creator who has lost his role."""
        self.cloud.remove_roles(fake_cloud.OWNER)
        self.assert_nothing_stays()

    def test_managers_afterwards(self):
        """Managers of a cluster that changed hands are made with its owner's token."""
        self.rotate()
        self.finish()
        self.assertTrue(self.state().handed_over)

        self.resize(3, group="default-master", context=self.context(fake_cloud.ADMIN))
        self.go_on()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "owner-must-resize", cluster.status_reason, answer=cluster.status)

        self.resize(3, group="default-master", context=self.context(fake_cloud.MEMBER))
        self.assertEqual("UPDATE_IN_PROGRESS", self.stack.status)
        self.assertFalse(self.stack.updates[-1][0].trust)
        self.go_on()
        cluster = self.cluster(self.uuid)
        self.assertEqual(("UPDATE_COMPLETE", 3), (cluster.status, cluster.master_count))
        self.assert_nothing_stays()

    def test_not_permitted(self):
        """Where Magnum may not revoke the former credential, the user reads who must."""
        self.cloud.service_is_admin = False

        self.rotate()
        self.finish()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        cases.shown(self, "former-credential-stays", cluster.status_reason, answer=cluster.status)
        self.assertIn(self.name(0), cluster.status_reason)
        self.assertEqual(1, len(grants.others(self.state())))
        self.delete(self.uuid, self.context(fake_cloud.OWNER))
        self.poll()
        self.cloud.finish_deletes()
        self.poll()
        # That of the member is left to him.
        self.assertEqual("DELETE_FAILED", self.cluster(self.uuid).status)
        self.assertEqual([(fake_cloud.MEMBER, self.name(1))], self.names())

    def test_refused(self):
        """Nothing is begun beside something else, or by somebody from another project."""
        self.resize(3)
        error = self.assertRaises(magnum_exception.InvalidParameterValue, self.rotate)
        self.assertIn("Another operation is under way", str(error))
        self.go_on()
        error = self.assertRaises(
            magnum_exception.InvalidParameterValue,
            self.rotate,
            fake_cloud.ADMIN,
            project=fake_cloud.OTHER_PROJECT,
            roles=("admin",),
        )
        self.assertIn("member of its project", str(error))
        self.rotate()
        error = self.assertRaises(magnum_exception.InvalidParameterValue, self.rotate)
        self.assertIn("Another operation is under way", str(error))
        self.finish()
        self.assert_belongs_to(fake_cloud.MEMBER, 1)

    def test_record_changes_meanwhile(self):
        """What a look at the health writes down meanwhile stays, and harms nothing."""
        killer = self.useFixture(base.Killer())
        for deadly in (8, 14):
            with self.subTest(deadly=deadly):
                killer.sent, killer.deadly, killer.call = 0, deadly, self.note
                self.rotate()
                self.finish()
                self.assertEqual({"seen": 1}, self.state().unknown)
                self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assert_belongs_to(fake_cloud.MEMBER, 2)

    def note(self):
        record = self.record()
        self.store.write(record, dataclasses.replace(record.state, unknown={"seen": 1}))

    def test_heat_refuses(self):
        """What Heat refuses is undone, and said to the user who asked."""
        self.cloud.refused_updates = "no"

        error = self.assertRaises(magnum_exception.InvalidParameterValue, self.rotate)

        self.assertIn("no", str(error))
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual([(fake_cloud.OWNER, self.name(0))], self.names())
        self.assertIsNone(self.state().credential)
        self.cloud.refused_updates = ""
        self.rotate()
        self.finish()
        self.assert_belongs_to(fake_cloud.MEMBER, 1)

    def test_managers_silent(self):
        """A manager that never takes the credential over stops the rotation; both stay valid."""
        self.rotate()
        self.stack.status = "UPDATE_COMPLETE"
        self.pass_time(700)

        self.poll()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "managers-keep-credential", cluster.status_reason, answer=cluster.status)
        self.assertEqual(2, len(self.cloud.credentials))
        self.rotate()
        self.finish()
        self.assert_belongs_to(fake_cloud.MEMBER, 2)

    def test_deleted_meanwhile(self):
        """A cluster that is deleted while its credential is rotated leaves nothing."""
        self.rotate()

        self.assert_nothing_stays()

    def test_resize_meanwhile(self):
        """What is asked for while a credential is rotated is done after it."""
        self.rotate()
        self.resize(3)
        self.poll()
        self.assertEqual(1, len(self.stack.updates))

        self.finish()
        self.go_on()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual({"worker_count": 3}, self.stack.updates[-1][1])
        self.assert_belongs_to(fake_cloud.MEMBER, 1)

    def test_given_up_before_a_resize(self):
        """What is done after a rotation that was given up says so, and how to go on."""
        self.rotate()
        self.stack.status = "UPDATE_COMPLETE"
        self.resize(3)
        self.pass_time(700)
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertIn("Managers do not take the new credential over", cluster.status_reason)
        self.assertEqual(1, cluster.status_reason.count(AGAIN))

    def test_not_permitted_before_a_resize(self):
        """What is done after a rotation whose former credential stays says who must revoke it."""
        self.cloud.service_is_admin = False
        self.rotate()
        self.resize(3)
        self.finish()
        self.go_on()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertIn(self.name(0), cluster.status_reason)


class DiedTest(RotationCase):
    def test_anywhere(self):
        """A conductor that dies at any request leaves what another one ends, and nothing else."""
        killer = self.useFixture(base.Killer())
        self.rotate()
        self.finish()
        whole = killer.sent
        for deadly in range(1, whole + 1, 2 * base.DEATH_STEP - 1):
            with self.subTest(deadly=deadly):
                self.once(killer, deadly)
        self.assertGreater(whole, 15)

    def once(self, killer, deadly):
        killer.sent, killer.deadly, killer.after = 0, deadly, bool(deadly % 2)
        with contextlib.suppress(base.Died):
            self.rotate()
        with contextlib.suppress(base.Died):
            self.poll()
            self.stack.status = "UPDATE_COMPLETE"
            self.acknowledge(self.told().generation)
            self.poll()
        killer.deadly = None
        self.free()
        for _ in range(4):
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.stack.status = "UPDATE_COMPLETE"
            self.acknowledge(self.told().generation)
            self.recall()
            self.poll()
        cluster = self.cluster(self.uuid)
        self.assertIsNone(self.state().credential)
        self.assertIn(cluster.status, ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED"))
        known = {(g.owner_id, g.number) for g in grants.others(self.state())}
        known.add((self.state().owner_id, self.state().grant))
        for credential in self.cloud.credentials.values():
            number = int(credential["name"].removeprefix(self.name(0)).strip("-") or 0)
            self.assertIn((credential["user"], number), known)
        self.assertIn(self.stack.parameters["node_credential_id"], self.cloud.credentials)
        if cluster.status == "UPDATE_FAILED":
            self.assertIn(AGAIN, cluster.status_reason)
        # Whatever had happened: the next one puts all in order.
        self.rotate()
        self.finish()
        self.assertEqual(1, len(self.cloud.credentials))

    def free(self):
        """Let the lease of a conductor that died run out."""
        with enginefacade.writer.get_engine().begin() as connection:
            connection.execute(schema.CLUSTER.update().values(lease_expires=0))

    def recall(self):
        requests.recall(self.store, self.cluster(self.uuid), self.record())


class GroupsTest(RotationCase, test_node_groups.NodeGroupsCase):
    def test_groups(self):
        """The stacks of further node groups change hands as well."""
        row = self.add()
        self.poll()
        self.finish_group(row)
        self.poll()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.cloud.remove_roles(fake_cloud.OWNER)

        self.rotate()
        for stack in self.cloud.stacks.values():
            stack.status = "UPDATE_COMPLETE"
        self.finish()

        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual({fake_cloud.MEMBER}, {one.owner for one in self.cloud.stacks.values()})
        self.assertEqual({fake_cloud.MEMBER}, {trustor for trustor, _ in self.trustors()})


def text_of(config):
    return base64.b64decode(config["Spec"]["Data"]).decode()
