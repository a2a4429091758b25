# SPDX-License-Identifier: Apache-2.0
import base64
import json
import pathlib
import ssl

import fixtures
import sqlalchemy.event
from magnum.common import exception as magnum_exception
from magnum.conductor.handlers import ca_conductor
from magnum.conductor.handlers.common import cert_manager
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import exceptions, stored
from magnum_swarm_mode.certificates import authority
from magnum_swarm_mode.certificates import names as certificate_names
from magnum_swarm_mode.certificates import store as certificate_store
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor.change import requests
from magnum_swarm_mode.conductor.rotation import ca as ca_rotation
from magnum_swarm_mode.db.store import Store
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings, transport
from tests import cases
from tests.functional.conductor import base
from tests.functional.conductor.test_operations import OperationsCase


class RotationCase(OperationsCase):
    """A cluster whose manager does at once what it is told, as the node program would.

    :ivar lazy: whether it takes over nothing.
    """

    def setUp(self):
        super().setUp()
        self._set("swarm_mode", "rotation_overlap", 0)
        self.lazy = False
        self.signed_by = certificate_store.references(self.cluster(self.uuid))["ca_cert_ref"]
        self.pair = self.server_pair(self.cluster(self.uuid))
        self.label = "0"
        self.docker.on_config = lambda _: self.take_over()
        self.old = self.files()
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.conductor.rotation.ca._HANDLER_SECONDS", 0.2)
        )
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.conductor.rotation.ca._LEASE_PATIENCE", 0.2)
        )

    def resume(self, count):
        """Have what stopped go on with a resize, to its end."""
        self.lazy = False
        self.take_over()
        self.resize(count)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    @property
    def manager(self):
        return self.docker.answers["/nodes"][1][0]

    @property
    def label(self):
        return self.manager["Spec"]["Labels"].get(manager_settings.LABEL)

    @label.setter
    def label(self, value):
        self.manager["Spec"]["Labels"] = {manager_settings.LABEL: value}

    def told(self):
        """Return generation and contents of the newest settings."""
        found = {
            int(one["Spec"]["Name"].rpartition(".")[2]): one["Spec"]["Data"]
            for one in self.docker.answers["/configs"][1]
            if one["Spec"]["Name"].startswith(manager_settings.PREFIX)
        }
        generation = max(found)
        return generation, json.loads(base64.b64decode(found[generation]))

    def take_over(self):
        """Do what a manager does about the newest settings."""
        if self.lazy:
            return
        generation, told = self.told()
        cluster = self.cluster(self.uuid)
        wanted = told.get("api", {}).get("issuer")
        now = certificate_store.certificate(self.uuid, cluster.ca_cert_ref)
        if wanted and authority.fingerprint(now) != wanted:
            return
        if wanted and cluster.ca_cert_ref != self.signed_by:
            self.pair, self.signed_by = self.server_pair(cluster), cluster.ca_cert_ref
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        chain = told.get("api", {}).get("chain", "")
        (directory / "pem").write_text(f"{self.pair.certificate}\n{self.pair.key}\n{chain}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "pem")
        context.load_verify_locations(cadata=told["ca_certificate"])
        context.verify_mode = ssl.CERT_REQUIRED
        self.docker.context = context
        self.label = str(generation)

    def files(self):
        """Return what a user has who fetches files now: CA, certificate and key."""
        cluster = self.cluster(self.uuid)
        ca = certificate_store.certificate(self.uuid, cluster.ca_cert_ref)
        own = certificate_store.read(self.uuid, cluster.magnum_cert_ref)
        return transport.Identity(ca, own.certificate, own.key)

    def serves(self, files):
        """Return whether the manager and somebody with such files believe each other."""
        swarm = swarm_client.Swarm([base.MANAGER], files, 10.0)
        try:
            swarm.engine()
        except exceptions.Unavailable:
            return False
        finally:
            swarm.close()
        return True

    def rotate(self, context=None):
        """Ask the conductor as magnum-api does."""
        handler = ca_conductor.Handler()
        return handler.rotate_ca_certificate(context or self.context(), self.cluster(self.uuid))

    def references(self):
        return certificate_store.references(self.cluster(self.uuid))

    def state(self):
        record = Store().get(self.uuid)
        return stored.dump(record.state.ca) if record and record.state.ca else {}

    def assert_done(self, before):
        """Everything is new, and what was before is gone and refused."""
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        self.assertIn("fetch the client's files again", cluster.status_reason)
        now = self.references()
        self.assertEqual(set(), set(before.values()) & set(now.values()))
        self.assertEqual(set(now.values()), {row.uuid for row in self.certificates()})
        self.assertEqual({}, self.state())
        files = self.files()
        self.assertEqual(files.ca.split(), str(self.stack.parameters["ca_certificate"]).split())
        swarm = self.docker.answers["/swarm"][1]
        self.assertEqual(1, swarm["Spec"]["CAConfig"]["ForceRotate"])
        self.assertEqual("SWMTKN-1-root-w1", swarm["JoinTokens"]["Worker"])
        names = [one["Spec"]["Name"] for one in self.docker.answers["/configs"][1]]
        self.assertEqual([f"{manager_settings.PREFIX}{self.label}"], names)
        self.assertEqual(
            {"chain": "", "issuer": authority.fingerprint(files.ca)}, self.told()[1]["api"]
        )
        self.assertTrue(self.serves(files))
        self.assertFalse(self.serves(self.old))


class RotateTest(RotationCase):
    def test_whole(self):
        """Old and new files serve from the answer on; in the end only the new ones do."""
        before = self.references()

        self.rotate()

        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_IN_PROGRESS", cluster.status)
        self.assertNotEqual(before["ca_cert_ref"], cluster.ca_cert_ref)
        self.assertTrue(self.serves(self.old))
        self.assertTrue(self.serves(self.files()))
        self.assertEqual(8, len(self.certificates()))

        self.go_on()

        self.assert_done(before)
        self.assertEqual([{"ca_certificate": self.files().ca}], self.asked())
        self.assertEqual([], [one for one in self.docker.changes if one[1] == "removed"])

    def test_twice(self):
        """What came out of a rotation can be replaced again."""
        self.rotate()
        self.go_on()
        self.old = self.files()
        self.docker.answers["/swarm"][1]["Spec"]["CAConfig"]["ForceRotate"] = 0
        before = self.references()
        self.pass_time(100)

        self.rotate()
        self.assertTrue(self.serves(self.old))
        self.assertTrue(self.serves(self.files()))
        self.go_on()

        self.assert_done(before)

    def test_health_meanwhile(self):
        """The conductor reaches the managers at each step, also to ask for their health."""
        self.rotate()
        for _ in range(20):
            cluster = self.cluster(self.uuid)
            monitor = base.DRIVER().get_monitor(cloud_sessions.admin_context(), cluster)
            monitor.poll_health_status()
            self.assertNotEqual("UNKNOWN", monitor.data.get("health_status"))
            self.pass_time(100)
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
            self.poll()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_overlap(self):
        """For as long as the operator says, both files serve."""
        self._set("swarm_mode", "rotation_overlap", 1000)
        self.rotate()
        for _ in range(3):
            self.poll()
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
        self.assertIn("step 2 of 5: Files fetched now serve", self.cluster(self.uuid).status_reason)
        self.assertTrue(self.serves(self.old))
        self.assertTrue(self.serves(self.files()))
        self.pass_time(1001)
        self.go_on()
        self.assertFalse(self.serves(self.old))

    def test_name_of_the_authority(self):
        """The new authority has a name of its own, which certificates that it signs bear."""
        self.assertEqual("swarm", certificate_names.subject_of(self.files().ca))
        self.rotate()
        name = certificate_names.subject_of(self.files().ca)
        self.assertRegex(name, r"^swarm \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [0-9a-f]{6}$")
        pair = self.server_pair(self.cluster(self.uuid))
        context = ssl.create_default_context(cadata=self.files().ca)
        self.assertEqual(1, len(context.get_ca_certs()))
        self.assertIn(name.encode(), ssl.PEM_cert_to_DER_cert(pair.certificate))

    def test_slow_manager(self):
        """A manager that has not taken it over is named, and waited for."""
        self.lazy = True
        self.rotate()
        self.poll()
        self.assertEqual(
            "Replacing certificates, step 1 of 5: managers let in clients of the old and of the "
            "new authority; waiting for swarm-manager-0.",
            self.cluster(self.uuid).status_reason,
        )
        self.lazy = False
        self.take_over()
        before = self.state()["old"]
        self.go_on()
        self.assert_done(before)

    def test_too_slow(self):
        """After twenty minutes it stops, usable; resizing to the present count goes on."""
        before = self.references()
        self.lazy = True
        self.rotate()
        self.poll()
        self.pass_time(1300)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("waiting for swarm-manager-0. Resize a node group", cluster.status_reason)
        cases.shown(self, "certificates-stopped", cluster.status_reason, answer=cluster.status)
        requests.recall(Store(), cluster, Store().get(self.uuid))
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)
        self.lazy = False
        self.take_over()
        self.resize(2)
        self.go_on()
        self.assertIn("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual({}, self.state())
        self.assertFalse(self.serves(self.old))
        self.assertEqual(set(), set(before.values()) & {row.uuid for row in self.certificates()})

    def test_manager_down(self):
        """A manager that is down is not waited for, and named in the end."""
        down = json.loads(json.dumps(self.manager))
        down["ID"], down["Status"] = "other", {"State": "down"}
        down["Description"]["Hostname"] = "swarm-manager-1"
        down["ManagerStatus"] = {"Reachability": "unreachable", "Addr": "10.0.0.9:2377"}
        down["Spec"]["Labels"] = {}
        self.docker.answers["/nodes"][1].append(down)
        self.rotate()
        self.go_on()
        self.assertIn(
            "to follow when they are back: swarm-manager-1.", self.cluster(self.uuid).status_reason
        )

    def test_resize_meanwhile(self):
        """A resize that is asked for meanwhile is served afterwards."""
        before = self.references()
        self.rotate()
        self.resize(3)
        self.go_on()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status)
        self.assertEqual(3, len(cluster.default_ng_worker.node_addresses))
        self.assertEqual(["ca_certificate", "worker_count"], [next(iter(a)) for a in self.asked()])
        self.assertEqual(set(), set(before.values()) & {row.uuid for row in self.certificates()})

    def test_deleted_meanwhile(self):
        """A cluster that is deleted meanwhile leaves no certificate behind, old or new."""
        self.rotate()
        self.delete(self.uuid)
        self.cloud.finish_deletes()
        self.poll(3)
        self.assertEqual([], self.clusters())
        self.assertEqual([], self.certificates())


class RefusedTest(RotationCase):
    def setUp(self):
        super().setUp()
        self.before = self.references()

    def assert_as_before(self):
        self.assertEqual(self.before, self.references())
        self.assertEqual(set(self.before.values()), {row.uuid for row in self.certificates()})
        self.assertEqual({}, self.state())
        self.assertTrue(self.serves(self.old))

    def test_managers_of_an_earlier_release(self):
        """Managers that cannot be told anything are named, and everything stays as it was."""
        self.manager["Spec"]["Labels"] = {}
        error = self.assertRaises(exceptions.Refused, self.rotate)
        self.assertIn("certificates of swarm-manager-0 cannot be replaced", error.user_message)
        self.assert_as_before()
        cluster = self.cluster(self.uuid)
        cases.shown(self, "certificates-deaf", cluster.status_reason, answer=cluster.status)
        self.resize(2)
        self.go_on()
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)

    def test_no_manager_answers(self):
        """Where no manager can be told anything nothing begins."""
        self.docker.stop()
        self.assertRaises(exceptions.Unavailable, self.rotate)
        self.assertEqual(self.before, self.references())
        self.assertEqual({}, self.state())

    def test_hooks_not_in_effect(self):
        """An authority that cannot stand beside the old one is not used."""
        self.useFixture(
            fixtures.MonkeyPatch(
                "magnum_swarm_mode.certificates.authority.may_follow", lambda *_: False
            )
        )
        self.assertRaises(exceptions.Inconsistent, self.rotate)
        self.assert_as_before()

    def test_second_at_once(self):
        """Of two that passed the API in one moment the second changes nothing."""
        stale = self.cluster(self.uuid)
        self.rotate()
        now = self.references()
        self.assertNotEqual(self.before, now)
        ca_conductor.Handler().rotate_ca_certificate(self.context(), stale)
        self.assertEqual(now, self.references())
        self.assertEqual(8, len(self.certificates()))
        self.go_on()
        self.assert_done(self.before)

    def test_another_conductor(self):
        """While another conductor is at work nothing is begun, and nothing stays of it."""
        store = Store()
        record = store.lease(self.uuid, 60)
        assert record is not None
        error = self.assertRaises(exceptions.Unavailable, self.rotate)
        self.assertIn("Another conductor is at work on the cluster.", error.user_message)
        self.assert_as_before()
        now = store.get(self.uuid)
        assert now is not None
        self.assertEqual((None, record.lease_owner), (now.state.ca, now.lease_owner))

    def test_lease(self):
        """Nobody else works on a cluster while the first step of a rotation is taken."""
        leases = []
        self.docker.on_config = lambda _: leases.append(Store().lease(self.uuid, 60))
        self.rotate()
        self.assertEqual({None}, set(leases))
        self.assertIsNotNone(Store().lease(self.uuid, 60))

    def test_busy(self):
        """Magnum itself refuses in the middle of something else, without a trace."""
        self.resize(3)
        self.assertRaises(magnum_exception.NotSupported, self.rotate)
        self.assert_as_before()


class ConductorTest(RotationCase):
    def test_killed(self):
        """Whichever request the conductor dies at, another one brings it to its end."""
        deaths = 0
        for number in range(1, 120, 7):
            with self.subTest(number=number):
                died = self._killed_at(number, after=bool(number % 2))
                deaths += died
            if not died:
                break
            self._again()
        self.assertGreater(deaths, 5)

    def _again(self):
        """Have the next rotation begin like the first."""
        self.old = self.files()
        self.docker.answers["/swarm"][1]["Spec"]["CAConfig"].pop("ForceRotate")
        self.stack.updates.clear()

    def _killed_at(self, number, after):
        before = self.references()
        killer = base.Killer()
        died = False
        with killer:
            killer.deadly, killer.after = number, after
            try:
                self.rotate()
                self.go_on()
            except base.Died:
                died = True
        if died:
            self.pass_time(400 + 130 * number)
            if not self.state():
                # It died before anything was written down; the user asks again.
                self.assertEqual(before, self.references())
                self.rotate()
            cluster = self.cluster(self.uuid)
            requests.recall(Store(), cluster, Store().get(self.uuid))
            self.go_on()
        self.assert_done(before)
        return died

    def test_handler_died(self):
        """What a conductor wrote down before it died is taken up by the next look at its health."""
        before = self.references()
        cluster = self.cluster(self.uuid)
        cert_manager.generate_certificates_to_cluster(cluster, context=self.context())
        base.DRIVER().rotate_ca_certificate(self.context(), cluster)
        self.assertEqual(before, self.references())
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)
        monitor = base.DRIVER().get_monitor(cloud_sessions.admin_context(), self.cluster(self.uuid))
        monitor.poll_health_status()
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)
        self.pass_time(ca_rotation.INTERRUPTED_SECONDS + 100)
        monitor.poll_health_status()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.go_on()
        self.assert_done(before)


class MakingTest(RotationCase):
    """The conductor dies while Magnum makes certificates, of which no row knows yet."""

    def die_at(self, number):
        """End the conductor before it stores the certificate of a number, from 1."""
        stored = 0

        def count(_connection, _cursor, statement, *_):
            nonlocal stored
            stored += statement.startswith("INSERT INTO x509keypair")
            if stored == number:
                raise base.Died

        engine = enginefacade.writer.get_engine()
        sqlalchemy.event.listen(engine, "before_cursor_execute", count)
        try:
            self.assertRaises(base.Died, self.rotate)
        finally:
            sqlalchemy.event.remove(engine, "before_cursor_execute", count)
        self.assertEqual(4 + number - 1, len(self.certificates()))
        self.assertEqual({}, self.state())

    def look_at_health(self):
        base.DRIVER().get_monitor(
            cloud_sessions.admin_context(), self.cluster(self.uuid)
        ).poll_health_status()

    def test_second_try(self):
        """Who asks again has nothing left of the first time, however far that had come."""
        for number in (1, 2, 3, 4):
            with self.subTest(number=number):
                before = self.references()
                self.die_at(number)
                self.assertEqual(before, self.references())
                self.pass_time(400)
                self.rotate()
                self.go_on()
                self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
                self.assertEqual(
                    set(self.references().values()), {row.uuid for row in self.certificates()}
                )

    def test_nobody_asks_again(self):
        """A later look at the cluster's health removes them; those in use stay."""
        before = set(self.references().values())
        self.die_at(4)
        self.look_at_health()
        self.assertEqual(7, len(self.certificates()))
        self.pass_time(400)
        self.look_at_health()
        self.assertEqual(before, {row.uuid for row in self.certificates()})
        self.assertTrue(self.serves(self.old))
        self.assertEqual("CREATE_COMPLETE", self.cluster(self.uuid).status)

    def test_deleted(self):
        """They go with the cluster."""
        self.die_at(3)
        self.delete(self.uuid)
        self.cloud.finish_deletes()
        self.poll(3)
        self.assertEqual(([], []), (self.clusters(), self.certificates()))

    def test_second_conductor(self):
        """What a slow conductor is still at work on is not taken from it without its knowing."""
        cluster = self.cluster(self.uuid)
        cert_manager.generate_certificates_to_cluster(cluster, context=self.context())
        self.assertEqual(8, len(self.certificates()))
        self.pass_time(400)
        self.look_at_health()
        self.assertEqual(4, len(self.certificates()))
        before = self.references()
        driver = base.DRIVER()
        error = self.assertRaises(
            exceptions.Unavailable, driver.rotate_ca_certificate, self.context(), cluster
        )
        self.assertIn("It took too long to make new certificates", error.user_message)
        self.assertEqual(before, certificate_store.references(cluster))
        self.assertEqual({}, self.state())

    def test_store_refuses(self):
        """Of what cannot be made to the end nothing stays."""

        def refuse(_connection, _cursor, statement, *_):
            if statement.startswith("INSERT INTO x509keypair") and len(self.certificates()) == 6:
                raise OSError("the disk is full")

        engine = enginefacade.writer.get_engine()
        sqlalchemy.event.listen(engine, "before_cursor_execute", refuse)
        self.addCleanup(sqlalchemy.event.remove, engine, "before_cursor_execute", refuse)
        self.assertRaises(magnum_exception.CertificatesToClusterFailed, self.rotate)
        self.assertEqual(4, len(self.certificates()))

    def test_store_does_not_delete(self):
        """Old certificates that cannot be deleted in the end are deleted later."""

        def refuse(_connection, _cursor, statement, *_):
            if statement.startswith("DELETE FROM x509keypair"):
                raise OSError("the disk is full")

        engine = enginefacade.writer.get_engine()
        self.rotate()
        sqlalchemy.event.listen(engine, "before_cursor_execute", refuse)
        try:
            self.go_on()
        finally:
            sqlalchemy.event.remove(engine, "before_cursor_execute", refuse)
        self.assertEqual("UPDATE_COMPLETE", self.cluster(self.uuid).status)
        self.assertEqual(8, len(self.certificates()))
        self.assertFalse(self.serves(self.old))
        self.pass_time(100)
        self.look_at_health()
        self.assertEqual(set(self.references().values()), {row.uuid for row in self.certificates()})
