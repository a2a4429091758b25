# SPDX-License-Identifier: Apache-2.0
"""Clusters whose certificates are in Barbican, by Magnum's own code for it."""

import configparser
import json
import logging
import time

import fixtures
from magnum.common import cert_manager as certificate_backend
from magnum.common import exception as magnum_exception
from magnum.common.cert_manager import barbican_cert_manager
from magnum.conductor.handlers import ca_conductor
from magnum.conductor.handlers.common import cert_manager
from oslo_log import log

from magnum_swarm_mode import reach
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.db.store import Store
from tests import documented
from tests.fakes import barbican as fake_barbican
from tests.functional.conductor import base, fake_cloud

KEYS = ("Private Key", "Private Key Passphrase")


class BarbicanTest(base.DriverTest):
    """The page of the highly available installation with ``cert_manager_type = barbican``."""

    def setUp(self):
        super().setUp()
        usual = base.CONF.certificates.cert_manager_type
        self.addCleanup(self._store_in, usual)
        self._store_in("barbican")
        page = configparser.ConfigParser(default_section="none", interpolation=None)
        page.read(documented.ROOT / "etc/high-availability/magnum.conf")
        for name, value in page["barbican_client"].items():
            self._set("barbican_client", name, value)
        tokens = self.cloud.tokens
        self.barbican = self.useFixture(
            fake_barbican.FakeBarbican(
                lambda token: tokens[token].project if token in tokens else None
            )
        )
        self.cloud.further_endpoints["key-manager"] = self.barbican.url
        self.new_process()
        # Everything, as with [DEFAULT] debug, but what oslo.log keeps out by itself then as well.
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        for name, level in (one.split("=") for one in log.get_default_log_levels()):
            logger = logging.getLogger(name)
            self.addCleanup(logger.setLevel, logger.level)
            logger.setLevel(level)

    @staticmethod
    def _store_in(kind):
        base.CONF.set_override("cert_manager_type", kind, group="certificates")

    def new_process(self):
        """Forget what Magnum keeps for as long as a process lives."""
        for name in (
            f"{certificate_backend.__name__}._CERT_MANAGER_PLUGIN",
            f"{barbican_cert_manager.__name__}._ADMIN_OSC",
        ):
            self.useFixture(fixtures.MonkeyPatch(name, None))

    def made(self):
        """Return the uuid of a cluster that is complete."""
        uuid = self.create()
        self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        return uuid

    def test_complete_and_deleted(self):
        """All four certificates are Magnum's own secrets there, and go with the cluster."""
        uuid = self.made()
        cluster = self.cluster(uuid)
        for name in ("ca", "magnum", "etcd_ca", "front_proxy_ca"):
            self.assertIn(f"{self.barbican.url}/v1/containers/", cluster[f"{name}_cert_ref"])
        self.assertEqual([], self.certificates())
        self.assertEqual((4, 12), (len(self.barbican.containers), len(self.barbican.secrets)))
        self.assertEqual({fake_cloud.SERVICE_PROJECT}, self.barbican.projects)

        self.delete(uuid)
        self.cloud.finish_deletes()
        self.poll()

        self.assertEqual([], self.clusters())
        self.assertEqual(({}, {}), (self.barbican.containers, self.barbican.secrets))

    def test_no_secret_leaks(self):
        """Neither keys nor passphrases are in the log, in Heat, or in Magnum's database."""
        uuid = self.made()
        secrets = self.barbican.payloads(*KEYS)
        self.assertEqual(8, len(secrets))
        row = self.cluster(uuid).as_dict()
        places = {
            "the log": self.log.output,
            "Heat": json.dumps(self.cloud.stack().parameters),
            "Magnum's database": json.dumps([row, list(map(str, self.records()))], default=str),
        }
        self.assertIn(uuid, places["the log"])
        for place, text in places.items():
            for secret in secrets:
                # Text in JSON has no line breaks.
                [longest] = sorted(secret.splitlines(), key=len)[-1:]
                self.assertNotIn(longest, text, f"a secret is in {place}")
            self.assertNotIn("PRIVATE KEY", text, place)

    def test_away_while_creating(self):
        """Without Barbican no cluster is made, and nothing is left of the attempt."""
        self.barbican.is_down = True
        self.assertRaises(magnum_exception.CertificatesToClusterFailed, self.create)
        [cluster] = self.clusters()
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("certificates", cluster.status_reason)
        self.assertEqual({}, self.cloud.leftovers())

    def test_away_later(self):
        """A conductor that cannot read a key now changes nothing, and goes on when it can."""
        uuid = self.create()
        self.serve_docker(uuid)
        self.finish_stack()
        self.barbican.is_down = True
        self.poll()
        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status)
        self.assertIn("Magnum cannot read the cluster's certificates now", cluster.status_reason)
        self.barbican.is_down = False
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)

    def test_never_answers(self):
        """A Barbican that takes requests and does not answer keeps no conductor for long."""
        self.useFixture(
            fixtures.MonkeyPatch("magnum_swarm_mode.cloud.sessions._TIMEOUT_SECONDS", 0.2)
        )
        self.new_process()
        uuid = self.made()
        self.barbican.is_silent = True
        began = time.monotonic()
        self.delete(uuid)
        self.cloud.finish_deletes()
        self.poll(2)
        self.assertEqual([], self.clusters())
        self.pass_time(601)
        loop.run(Store())
        self.assertGreater(15.0, time.monotonic() - began)
        self.assertEqual(1, len(self.records()))

    def test_away_while_deleting(self):
        """A cluster can be deleted without Barbican; its secrets stay, and that is logged."""
        uuid = self.made()
        reference = self.cluster(uuid).etcd_ca_cert_ref
        self.barbican.is_down = True
        self.delete(uuid)
        self.cloud.finish_deletes()
        self.poll()
        self.assertEqual([], self.clusters())
        self.assertIn(f"Certificate {reference} of cluster {uuid}", self.log.output)

    def test_back_after_a_delete(self):
        """What Barbican keeps of a cluster that is gone is deleted when it is back."""
        uuids = [self.made(), self.create()]
        self.barbican.is_down = True
        for uuid in uuids:
            self.delete(uuid)
        self.cloud.finish_deletes()
        self.poll()
        self.assertEqual([], self.clusters())
        self.assertEqual(8, len(self.barbican.containers))
        records = [self.store.get(uuid) for uuid in uuids]
        self.assertEqual([4, 4], [len(one.state.owned) for one in records if one])
        self.pass_time(601)
        loop.run(self.store)
        self.assertEqual(8, len(self.barbican.containers))
        self.barbican.is_down = False
        loop.run(self.store)
        self.assertEqual(8, len(self.barbican.containers))

        self.pass_time(1202)
        loop.run(self.store)

        self.assertEqual(({}, []), (self.barbican.containers, self.records()))

    def test_another_conductor(self):
        """What one conductor had stored, another one reads: nothing of it is on a host."""
        uuid = self.made()
        self.new_process()
        reach.SWARMS.forget(uuid)
        swarm = reach.swarm_of(self.cluster(uuid), [base.MANAGER])
        self.assertEqual("20.10.24+dfsg1", swarm.engine().version)

    def test_dies_while_replacing(self):
        """What a conductor had stored for new certificates before it died is removed later."""
        uuid = self.made()
        before = set(self.barbican.containers)
        # Three secrets and a container for each of four certificates.
        for number, left in ((4, 0), (5, 1), (12, 2), (16, 3)):
            with self.subTest(number=number):
                killer = base.Killer()
                with killer:
                    killer.deadly = number
                    self.assertRaises(base.Died, self.ask_for_new, uuid)
                self.assertEqual(4 + left, len(self.barbican.containers))
                self.pass_time(400)
                monitor = base.DRIVER().get_monitor(
                    cloud_sessions.admin_context(), self.cluster(uuid)
                )
                monitor.poll_health_status()
                self.assertEqual(before, set(self.barbican.containers))

    def ask_for_new(self, uuid):
        ca_conductor.Handler().rotate_ca_certificate(self.context(), self.cluster(uuid))

    def test_away_while_replacing(self):
        """What Barbican does not delete now is deleted later."""
        uuid = self.made()
        before = set(self.barbican.containers)
        cluster = self.cluster(uuid)
        cert_manager.generate_certificates_to_cluster(cluster, context=self.context())
        self.pass_time(400)
        self.barbican.is_down = True
        store = Store()
        orphans.sweep(store, store.get(uuid))
        self.assertEqual(8, len(self.barbican.containers))
        record = store.get(uuid)
        assert record is not None
        self.assertEqual([0] * 4, [one.since for one in orphans._loose(record.state)])
        self.barbican.is_down = False
        orphans.sweep(store, store.get(uuid))
        self.assertEqual(before, set(self.barbican.containers))
        record = store.get(uuid)
        assert record is not None
        self.assertEqual([], orphans._loose(record.state))
