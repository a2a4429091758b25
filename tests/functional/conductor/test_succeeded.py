# SPDX-License-Identifier: Apache-2.0
"""What fails after something has succeeded does not take that back."""

import fixtures
from oslo_db import exception as db_exception

from magnum_swarm_mode import exceptions, reach
from tests.functional.conductor import base, fake_cloud, test_node_groups

RELEASE = "magnum_swarm_mode.db.store.Store.release"


def _away(*_, **__):
    raise db_exception.DBConnectionError


class CreationTest(base.DriverTest):
    def assert_made(self, uuid):
        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        self.assertEqual("CREATE_IN_PROGRESS", self.cloud.stack().status)
        self.serve_docker(uuid)
        self.finish_stack()
        self.pass_time(61)
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)

    def test_lease(self):
        """A cluster that was made lives where the database is away when its lease is released."""
        with fixtures.MonkeyPatch(RELEASE, _away):
            uuid = self.create()
        self.assert_made(uuid)

    def test_access_rules(self):
        """A cluster that was made lives where Keystone does not say which rules are left over."""

        def refuse(*_, **__):
            raise fake_cloud.RefusalError(429)

        with fixtures.MonkeyPatch(f"{fake_cloud.__name__}.FakeCloud._list_rules", refuse):
            uuid = self.create()
        self.assert_made(uuid)


class ChangeTest(test_node_groups.NodeGroupsCase):
    def outcomes(self):
        return [(payload["action"], payload["outcome"]) for _, payload in self.events]

    def test_end(self):
        """The end of an operation is notified where its lease cannot be released."""
        self.resize(4)
        self.poll()
        self.heat_finishes()
        with fixtures.MonkeyPatch(RELEASE, _away):
            self.poll()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual([("update", "pending"), ("update", "success")], self.outcomes())

    def test_first_step(self):
        """A request that was written down is not failed for its first step."""
        owner = fixtures.MonkeyPatch("magnum_swarm_mode.reach.brings_owners_token", lambda *_: True)
        with owner, fixtures.MonkeyPatch(RELEASE, _away):
            self.resize(4)
        with owner, fixtures.MonkeyPatch("magnum_swarm_mode.db.store.Store.lease", _away):
            self.resize(5)
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertEqual(5, cluster.default_ng_worker.node_count)
        self.pass_time(61)
        self.go_on()
        self.assertEqual(5, self.cluster(self.uuid).node_count)

    def make_unclear(self):
        """Create a group whose stack Heat makes, and does not show yet to who asked for it."""
        submit = reach.submit

        def lost(*arguments):
            submit(*arguments)
            raise exceptions.Unavailable("Heat does not answer.")

        with fixtures.MonkeyPatch("magnum_swarm_mode.reach.submit", lost):
            self.assertRaises(exceptions.Unavailable, self.add)
        row = self.row("gpu")
        self.assertEqual("CREATE_FAILED", row.status)
        return row

    def test_group(self):
        """A group that its handler called failed, and Heat made, is complete, and has its stack."""
        row = self.make_unclear()
        self.pass_time(61)
        self.poll_health()
        self.poll()
        self.finish_group(row)

        self.go_on()

        found = self.row("gpu")
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual(("CREATE_COMPLETE", None), (found.status, found.status_reason))
        self.assertEqual(self.stack_of(row).id, found.stack_id)
