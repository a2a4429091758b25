# SPDX-License-Identifier: Apache-2.0
# A record that is missing fails the test that needs it, as it should.
# mypy: disable-error-code="union-attr,arg-type,method-assign"
"""No wait is without an end, whatever the conductor meets or wherever it dies."""

import dataclasses
import functools
import json
import logging

import fixtures
import sqlalchemy as sa
from magnum.common import exception as magnum_exception
from magnum.conductor.handlers import cluster_conductor
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.conductor import rows
from magnum_swarm_mode.db import schema
from magnum_swarm_mode.decisions.model import Plan
from magnum_swarm_mode.decisions.record import Kind, Owned, Phase
from tests.functional.conductor import base, fake_cloud


class BoundsTest(base.DriverTest):
    def complete(self):
        uuid = self.create()
        self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        return uuid

    def die(self, place, function, *arguments):
        """Run a function in a conductor that dies where it calls something of ours."""

        def death(*_, **__):
            raise base.Died

        with fixtures.MonkeyPatch(place, death):
            self.assertRaises(base.Died, function, *arguments)

    def assertNothingLeft(self):  # noqa: N802
        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual(([], [], []), (self.clusters(), self.records(), self.certificates()))

    def test_nothing_submitted(self):
        """A conductor that dies right after its record leaves a cluster that fails in time."""
        uuid = self.new_cluster().uuid
        self.die(
            "magnum_swarm_mode.cloud.credentials.create_trust",
            functools.partial(self.create, uuid=uuid),
        )
        self.cloud.remove_user(fake_cloud.OWNER)
        self.cloud.service_is_admin = False
        self.pass_time(601)

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("interrupted before Heat was asked", cluster.status_reason)

    def test_heat_away_for_an_hour(self):
        """A creation that cannot be watched for an hour fails, and says what to do."""
        uuid = self.create()
        self.stop_clock()
        self.cloud.down.add("heat")
        self.poll()
        self.pass_time(3599)
        self.poll()
        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        self.pass_time(1)

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("(Heat) does not answer", cluster.status_reason)
        self.assertIn(
            "for 60 minutes. Delete the cluster and create it again", cluster.status_reason
        )

    def test_heat_back(self):
        """The hour begins anew when Heat was seen in between."""
        uuid = self.create()
        for _ in range(2):
            self.cloud.down.add("heat")
            self.poll()
            self.pass_time(3000)
            self.cloud.down.clear()
            self.poll()

        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        self.assertEqual(0, self.store.get(uuid).state.blind_since)

    def test_nobody_sees_the_deletion(self):
        """A deletion that nobody may watch fails in time; a member's next one ends it."""
        uuid = self.complete()
        self.cloud.remove_user(fake_cloud.OWNER)
        self.cloud.service_is_admin = False
        member = self.context(fake_cloud.MEMBER)
        self.delete(uuid, member)
        self.cloud.finish_deletes()
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)
        self.pass_time(3600)

        self.poll()

        self.assertEqual("DELETE_FAILED", self.cluster(uuid).status)
        self.delete(uuid, self.context(fake_cloud.MEMBER))
        self.poll()
        self.assertNotIn(uuid, [one.uuid for one in self.clusters()])

    def test_keystone_away_while_cleaning(self):
        """A deletion that Keystone keeps from its end fails in time; the next one ends it."""
        uuid = self.complete()
        self.delete(uuid)
        self.cloud.finish_deletes()
        self.cloud.down.add("keystone")
        self.poll()
        self.pass_time(3600)
        self.poll()
        self.assertEqual("DELETE_FAILED", self.cluster(uuid).status)
        self.cloud.down.clear()

        self.delete(uuid)
        self.poll()

        self.assertNothingLeft()

    def test_undo_and_death(self):
        """A conductor that dies while it unmakes a failed creation leaves a failed cluster."""
        uuid = self.new_cluster().uuid
        self.cloud.lost_answers.add("GET")
        self.die(
            "magnum_swarm_mode.conductor.delete.revoke",
            functools.partial(self.fail_to_create, uuid),
        )
        self.pass_time(61)

        self.poll()

        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.delete(uuid)
        for _ in range(3):
            self.pass_time(200)
            self.poll()
            self.cloud.finish_deletes()
        self.assertNothingLeft()

    def fail_to_create(self, uuid):
        """Have Heat refuse the stack."""
        self.cloud.lost_answers.clear()
        blocking = fake_cloud.Stack("x", f"swarm-mode-{uuid}", fake_cloud.OTHER_PROJECT, {}, "")
        self.cloud.stacks["x"] = blocking
        try:
            self.create(uuid=uuid)
        finally:
            del self.cloud.stacks["x"]

    def test_undo_with_stack(self):
        """A creation that is undone with its stack ends failed, and its deletion removes it."""
        uuid = self.create()
        record = self.store.get(uuid)
        self.store.write(record, record.state.entering(Phase.ABANDONED))

        self.poll()

        self.assertEqual("CREATE_FAILED", self.cluster(uuid).status)
        self.delete(uuid)
        self.poll()
        self.cloud.finish_deletes()
        self.poll()
        self.assertNothingLeft()

    def test_group_stack_that_nobody_sees(self):
        """A group's stack that Heat shows only its project is not taken for gone."""
        uuid = self.complete()
        record = self.store.get(uuid)
        made = {"name": "group", "id": "group-id", "prefix": "swarm-group"}
        self.store.write(record, record.state.owning(Kind.GROUP, "g", **made))
        group = fake_cloud.Stack("group-id", "group", fake_cloud.PROJECT, {}, "")
        group.status = "CREATE_COMPLETE"
        self.cloud.stacks["group-id"] = group
        self.cloud.remove_user(fake_cloud.OWNER)
        self.cloud.service_is_admin = False
        context = self.context("some", fake_cloud.OTHER_PROJECT, roles=("reader",))
        context.is_admin = context.all_tenants = True
        self.cloud.users["some"] = "some"

        self.assertRaises(exceptions.SwarmModeError, self.delete, uuid, context)

        self.assertEqual("DELETE_FAILED", self.cluster(uuid).status)
        self.assertIn("node groups cannot be deleted", self.cluster(uuid).status_reason)
        self.assertEqual({"g": Owned(Kind.GROUP, "g", **made)}, self.store.get(uuid).state.groups)

    def test_late_stack(self):
        """A stack that appears a moment after Heat's answer was lost is found and used."""
        self.useFixture(fixtures.MonkeyPatch("magnum_swarm_mode.reach._LOOK_SECONDS", 0.01))
        self.cloud.lost_answers.add("POST")
        looked = []
        find = self.cloud._find

        def find_late(token, identifier):
            looked.append(identifier)
            if len(looked) == 1:
                raise fake_cloud.RefusalError(404)
            return find(token, identifier)

        self.cloud._find = find_late

        uuid = self.create()

        self.assertEqual(self.cloud.stack().id, self.cluster(uuid).stack_id)

    def test_unexpected(self):
        """After ten unexpected errors in a row a creation fails and names the log."""
        uuid = self.create()
        for number in range(10):
            self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status, number)
            with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.status.decide", lambda: None):
                self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("10 times in a row", cluster.status_reason)
        self.assertIn("(TypeError); the operator finds it in its log", cluster.status_reason)
        self.assertEqual(0, self.store.get(uuid).lease_expires)

    def test_unexpected_now_and_then(self):
        """A good look in between lets unexpected errors be counted anew."""
        uuid = self.create()
        for _ in range(12):
            with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.status.decide", lambda: None):
                self.poll()
            self.assertEqual(1, self.store.get(uuid).state.errors)
            self.poll()

        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)

    def test_deleted_meanwhile(self):
        """A look at a cluster that another conductor deletes meanwhile is no unexpected error."""
        uuid = self.create()
        log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

        def deleting(*_):
            record = self.store.get(uuid)
            self.store.delete(record)
            raise magnum_exception.NodeGroupNotFound(nodegroup="gone")

        with fixtures.MonkeyPatch("magnum_swarm_mode.decisions.status.decide", deleting):
            self.poll()

        self.assertNotIn("failed", log.output)

    def test_unreadable_operation(self):
        """An operation that cannot be read ends, and the cluster can be resized again."""
        uuid = self.complete()
        record = self.store.get(uuid)
        self.store.write(record, dataclasses.replace(record.state, plan=Plan(number=1, upgrade=5)))
        rows.change(uuid, "CREATE_COMPLETE", {"status": "UPDATE_IN_PROGRESS"})

        self.poll(10)

        self.assertEqual("UPDATE_FAILED", self.cluster(uuid).status)
        self.assertIn("The cluster stays as it is", self.cluster(uuid).status_reason)
        context, cluster = self.context(), self.cluster(uuid)
        cluster_conductor.Handler().cluster_resize(
            context, cluster, 2, None, cluster.default_ng_worker
        )
        self.poll(2)
        self.assertEqual("UPDATE_COMPLETE", self.cluster(uuid).status)

    def _rewrite(self, **values):
        """Change a record in a way that this release does not."""
        with enginefacade.writer.get_engine().begin() as connection:
            text = connection.execute(sa.select(schema.CLUSTER.c.state)).scalar_one()
            state = json.dumps({**json.loads(text), **values})
            connection.execute(schema.CLUSTER.update().values(state=state))

    def test_no_operation(self):
        """An operation that is not there ends as one that cannot be read."""
        uuid = self.complete()
        self._rewrite(plan=None)
        rows.change(uuid, "CREATE_COMPLETE", {"status": "UPDATE_IN_PROGRESS"})

        self.poll(10)

        self.assertEqual("UPDATE_FAILED", self.cluster(uuid).status)
        self.assertEqual(Plan(), self.store.get(uuid).state.plan)

    def test_phase_of_a_newer_release(self):
        """A cluster in a phase that is not known is left to others, and can be deleted."""
        uuid = self.complete()
        self._rewrite(phase="suspended")
        rows.change(uuid, "CREATE_COMPLETE", {"status": "UPDATE_IN_PROGRESS"})
        before = self.records()

        self.poll(12)

        self.assertEqual(before, self.records())
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(uuid).status)
        self.delete(uuid)
        self.cloud.finish_deletes()
        self.poll(2)
        self.assertEqual(([], []), (self.clusters(), self.records()))
        self.assertEqual({}, self.cloud.leftovers())

    def test_reason_that_no_column_holds(self):
        """A reason with any character and of any length is stored as far as it can be."""
        uuid = self.create()
        stack = self.cloud.stack()
        stack.status, stack.reason = "CREATE_FAILED", "\U0001f41b\0" + 70000 * "x"

        self.poll()

        reason = self.cluster(uuid).status_reason
        named, _, said = reason.partition(" failed: ")
        self.assertEqual("The creation of the cluster", named)
        self.assertEqual(("\ufffd\ufffdx", 4000), (said[:3], len(reason)))
        self.assertEqual(reason, self.cluster(uuid).nodegroups[0].status_reason)

    def tasks(self):
        """Let Magnum's own periodic task run, as its service sets it up."""
        timers = []

        class Group:
            def add_dynamic_timer(self, function, *_, **__):
                timers.append(function)

        periodic.setup(base.CONF, Group())
        tasks = dict(periodic.MagnumPeriodicTasks._periodic_tasks)
        tasks["sync_cluster_status"](timers[0].__self__, None)

    def test_delete_that_nobody_polls(self):
        """A deletion is taken up that something was saved over which Magnum does not poll."""
        for status in ("CREATE_COMPLETE", "CREATE_FAILED", "UPDATE_FAILED", "ROLLBACK_FAILED"):
            uuid = self.create()
            self.delete(uuid)
            rows.change(uuid, "DELETE_IN_PROGRESS", {"status": status})
            self.tasks()
            self.assertEqual(status, self.cluster(uuid).status)
            self.pass_time(61)

            self.tasks()

            self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)
            self.poll()
            self.cloud.finish_deletes()
            self.poll()
            self.assertNothingLeft()
            self.cloud.stacks.clear()

    def test_request_that_nobody_polls(self):
        """A request is taken up over which a status was saved that says it was done."""
        uuid = self.complete()
        self.store.amend(uuid, lambda state: dataclasses.replace(state, plan=Plan(number=1)))
        self.tasks()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        self.pass_time(61)

        self.tasks()

        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(uuid).status)

    def test_nothing_due(self):
        """A cluster at rest, and one whose deletion failed, are left alone."""
        uuid = self.complete()
        other = self.create()
        record = self.store.get(other)
        self.store.write(record, record.state.entering(Phase.DELETING))
        rows.change(other, "CREATE_IN_PROGRESS", {"status": "DELETE_FAILED"})
        self.pass_time(61)

        self.tasks()

        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        self.assertEqual("DELETE_FAILED", self.cluster(other).status)

    def test_database_away(self):
        """Whatever goes wrong with what is due, Magnum's own task is not disturbed."""
        with fixtures.MonkeyPatch("magnum_swarm_mode.db.store.Store.due", lambda: None):
            self.tasks()

    def test_delete_wins(self):
        """A deletion over which something else was saved goes on by itself."""
        uuid = self.complete()
        for status in ("UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            self.delete(uuid)
            rows.change(uuid, "DELETE_IN_PROGRESS", {"status": status})
            self.pass_time(61)

            self.poll()

            self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)
        self.poll()
        self.cloud.finish_deletes()
        self.poll()
        self.assertNothingLeft()
