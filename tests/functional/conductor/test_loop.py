# SPDX-License-Identifier: Apache-2.0
"""Conductors share the clusters, and none is left alone."""

import contextlib
import datetime
import time
from unittest import mock

import fixtures
from magnum import objects
from magnum.service import periodic
from oslo_db.sqlalchemy import enginefacade
from oslo_service import loopingcall

from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor.due import loop, pace, shares
from magnum_swarm_mode.db import schema
from magnum_swarm_mode.db.store import Store
from tests.functional.conductor import base


class SharesTest(base.DriverTest):
    def setUp(self):
        super().setUp()
        self.store = Store()
        self.services: list[objects.MagnumService] = []
        self.addCleanup(lambda: [service.destroy() for service in self.services])
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.conductor.due.shares.SHARES", shares.SHARES)
        )

    def service(self, host, age=0, binary="magnum-conductor", **more):
        """Let a service have sent its heartbeat so many seconds ago."""
        service = objects.MagnumService(
            cloud_sessions.admin_context(), host=host, binary=binary, **more
        )
        service.create()
        moment = time.time() - age
        service.last_seen_up = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        service.save()
        self.services.append(service)

    def be(self, host):
        """Act as the conductor of a host from now on."""
        base.CONF.set_override("host", host)
        self.addCleanup(base.CONF.clear_override, "host")
        shares.SHARES = shares.Shares()

    def test_living(self):
        """Whoever has sent a heartbeat lately and is not said to be down is alive, and oneself."""
        self.service("b")
        self.service("old", age=500)
        self.service("down", forced_down=True)
        self.service("off", disabled=True)
        self.service("api", binary="magnum-api")
        self.be("a")
        self.assertEqual(["a", "b"], shares.SHARES.hosts())

    def test_one_of_two(self):
        """Of two conductors one looks at a cluster; the other does when that takes too long."""
        self.stop_clock()
        self.service("a")
        self.service("b")
        uuid = self.create()
        self.poll()
        chosen = shares.chosen(uuid, ["a", "b"])
        for health in (False, True):
            self.store.claim_health(uuid, 0)
            self.be(chosen)
            self.assertTrue(loop.is_turn(self.store, uuid, health=health))
            self.be("a" if chosen == "b" else "b")
            self.assertFalse(loop.is_turn(self.store, uuid, health=health))
        self.pass_time(shares.GRACE_SECONDS + 1)
        for health in (False, True):
            self.assertTrue(loop.is_turn(self.store, uuid, health=health))

    def test_at_work(self):
        """A cluster that somebody holds a lease of is not late."""
        self.stop_clock()
        self.service("a")
        self.service("b")
        uuid = self.create()
        self.be("a" if shares.chosen(uuid, ["a", "b"]) == "b" else "b")
        self.assertIsNotNone(self.store.lease(uuid, 60))
        self.pass_time(shares.GRACE_SECONDS + 1)
        self.assertFalse(loop.is_turn(self.store, uuid, health=False))

    def test_deleted_meanwhile(self):
        """The end of a deletion is notified once, also after a list that was read before it."""
        uuid = self.create()
        self.delete(uuid)
        self.useFixture(fixtures.MonkeyPatch(f"{pace.__name__}._LEAST_SECONDS", 60.0))
        calls = loop.Calls(loopingcall)
        admin = cloud_sessions.admin_context()
        jobs = [periodic.ClusterUpdateJob(admin, self.cluster(uuid)) for _ in range(2)]
        self.cloud.finish_deletes()
        self.events.clear()
        for job in jobs:
            calls.FixedIntervalLoopingCall(f=job.update_status).start(1)
            until = time.monotonic() + 60
            while calls._queued and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual([], self.clusters())
        told = [(payload["action"], payload["outcome"]) for _, payload in self.events]
        self.assertEqual([("delete", "success")], told)

    def told(self):
        """Return what was notified of clusters."""
        return [(payload["action"], payload["outcome"]) for _, payload in self.events]

    def test_deleted_by_two(self):
        """The end of a deletion is notified by one conductor; by another one if that died."""
        for dies in (False, True):
            uuid = self.create()
            self.delete(uuid)
            self.cloud.finish_deletes()
            self.events.clear()

            def destroyed(*_, dies=dies):
                # The other conductor looks between the notification and the end of the row.
                self.poll()
                if dies:
                    raise base.Died

            with (
                mock.patch.object(objects.Cluster, "destroy", destroyed)
                if dies
                else self._before_destroy(destroyed),
                contextlib.suppress(base.Died),
            ):
                self.poll()
            self.assertEqual([("delete", "success")], self.told())
            self.assertEqual(dies, bool(self.clusters()))
            self.assertEqual([], self.records())

            self.pass_time(121)
            self.poll(2)

            self.assertEqual([("delete", "success")] * (1 + dies), self.told())
            self.assertEqual([], self.clusters())

    def _before_destroy(self, act):
        """Have something done before a cluster's row is removed, once."""
        destroy = objects.Cluster.destroy
        done: list[int] = []

        def destroyed(row):
            if not done:
                done.append(1)
                act()
            destroy(row)

        return mock.patch.object(objects.Cluster, "destroy", destroyed)

    def test_without_record(self):
        """A cluster without a record, which nothing is known of, is looked at by everybody."""
        self.service("a")
        self.service("b")
        for host in ("a", "b"):
            self.be(host)
            self.assertTrue(loop.is_turn(self.store, "x", health=False))

    def test_unreadable(self):
        """A cluster whose record cannot be read keeps no other from its turn."""
        self.stop_clock()
        self.service("a")
        self.service("b")
        uuid = self.create()
        self.store.claim_health(uuid, 0)
        with enginefacade.writer.get_engine().begin() as connection:
            connection.execute(schema.CLUSTER.update().values(state="{"))
        self.be("a" if shares.chosen(uuid, ["a", "b"]) == "b" else "b")
        for health in (False, True):
            self.assertFalse(loop.is_turn(self.store, uuid, health=health))
        self.pass_time(shares.GRACE_SECONDS + 61)
        for health in (False, True):
            self.assertTrue(loop.is_turn(self.store, uuid, health=health))

    def test_due(self):
        """What is due is taken up by its conductor at once, and by another after a while."""
        self.stop_clock()
        self.service("a")
        self.service("b")
        uuid = self.create()
        self.delete(uuid)
        cluster = self.cluster(uuid)
        cluster.status = "CREATE_COMPLETE"
        cluster.save()
        chosen = shares.chosen(uuid, ["a", "b"])
        self.be("a" if chosen == "b" else "b")
        self.pass_time(61)
        loop.run(self.store)
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        self.pass_time(61 + shares.GRACE_SECONDS + 1)
        loop.run(self.store)
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)

    def test_services_unknown(self):
        """Where Magnum's table of services cannot be read every conductor looks at everything."""
        self.be("a")
        with fixtures.MonkeyPatch("magnum.objects.MagnumService.list", lambda *_: 1 / 0):
            self.assertEqual(["a"], shares.SHARES.hosts())
