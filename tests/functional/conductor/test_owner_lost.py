# SPDX-License-Identifier: Apache-2.0
"""A cluster loses its owner's rights while its certificates are replaced."""

import contextlib
import importlib

import fixtures
from magnum.common import exception as magnum_exception
from magnum.drivers.common import driver

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.cloud import grants
from magnum_swarm_mode.conductor.change import requests
from tests import cases
from tests.functional.conductor import base, fake_cloud, test_rotation


class OwnerLostCase(test_rotation.RotationCase):
    """A manager that has certificates signed only with a credential that there is."""

    def take_over(self):
        generation, told = self.told()
        first = self.stack.parameters["node_credential_id"]
        used = told.get("openstack", {}).get("application_credential_id", first)
        if "ca_certificate" not in told and not self.lazy:
            self.label = str(generation)
        elif used in self.cloud.credentials or not told.get("api", {}).get("issuer"):
            super().take_over()

    def lose(self, remove=None):
        """Let the owner of the moment be gone from the project."""
        (remove or self.cloud.remove_roles)(self.owner())

    def owner(self):
        return self.record().state.owner_id

    def record(self):
        record = self.store.get(self.uuid)
        assert record is not None
        return record

    def take_charge(self, user=fake_cloud.MEMBER):
        """Rotate the credential as another member of the project."""
        handlers = importlib.import_module("magnum.conductor.handlers.credential_conductor")
        handlers.Handler().credential_rotate(self.context(user), self.cluster(self.uuid))

    def assert_taken_over(self, before, user=fake_cloud.MEMBER):
        """All is done, and nothing but one user's rights exists."""
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_COMPLETE", cluster.status, cluster.status_reason)
        now = self.references()
        self.assertEqual(set(), set(before.values()) & set(now.values()))
        self.assertEqual(set(now.values()), {row.uuid for row in self.certificates()})
        self.assertTrue(self.serves(self.files()))
        self.assertFalse(self.serves(self.old))
        state = self.record().state
        self.assertEqual((user, []), (state.owner_id, grants.others(state)))
        self.assertEqual((None, None), (state.credential, state.ca))
        self.assertEqual([user], [one["user"] for one in self.cloud.credentials.values()])
        used = self.told()[1]["openstack"]["application_credential_id"]
        self.assertEqual([used], list(self.cloud.credentials))
        # No manager was touched by anything but what it is told.
        self.assertEqual([], [one for one in self.docker.changes if one[1] == "removed"])
        self.assertNotIn("manager_count", {name for asked in self.asked() for name in asked})


class OwnerLostTest(OwnerLostCase):
    def test_deleted(self):
        """Another member takes the cluster over, and the certificates are replaced to the end."""
        before = self.references()
        self.lazy = True
        self.rotate()
        self.lose(self.cloud.remove_user)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        cases.shown(self, "certificates-owner-gone", cluster.status_reason, answer=cluster.status)
        # Whoever does not read it comes no further, and does no harm.
        self.resize(3, context=self.context(fake_cloud.MEMBER))
        self.poll()
        self.assertEqual(cluster.status_reason, self.cluster(self.uuid).status_reason)
        self.assertTrue(self.serves(self.old))

        self.lazy = False
        self.take_charge()
        self.assertEqual("UPDATE_IN_PROGRESS", self.cluster(self.uuid).status)
        self.go_on()

        self.assert_taken_over(before)
        self.assertEqual(3, len(self.cluster(self.uuid).default_ng_worker.node_addresses))
        self.delete(self.uuid, self.context(fake_cloud.MEMBER))
        self.cloud.finish_deletes()
        self.poll(3)
        self.assertEqual(([], []), (self.clusters(), self.certificates()))

    def test_at_any_moment(self):
        """Whichever request he loses his role at, it ends well, and is nobody's but the other's."""
        stopped = 0
        for number in range(2, 150, 8):
            with self.subTest(number=number):
                killer = base.Killer()
                with killer:
                    killer.call, killer.deadly = self.lose, number
                    before, owner = self.references(), self.owner()
                    self._replace(owner)
                if owner not in self.cloud.without_roles:
                    break
                stopped += self._end(before, owner)
        self.assertGreater(stopped, 3)

    def _replace(self, owner):
        self.old = self.files()
        with contextlib.suppress(exceptions.SwarmModeError):
            self.rotate(self.context(owner))
        self.go_on()

    def _end(self, before, owner):
        """Have another member take over what was left; return whether it had stopped halfway."""
        (other,) = {fake_cloud.OWNER, fake_cloud.MEMBER} - {owner}
        ca = self.record().state.ca
        stopped = bool(ca and ca.failed)
        if stopped:
            self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)
        self.take_charge(other)
        self.go_on()
        if self.cluster(self.uuid).status == "UPDATE_FAILED":
            # It had not begun.
            self.assertEqual(before, self.references())
            self.resize(2, context=self.context(other))
            self.go_on()
            self._replace(other)
        self.assert_taken_over(before, other)
        self.cloud.without_roles.discard(owner)
        return stopped

    def test_credential_revoked(self):
        """Where only the managers' credential is gone, the owner himself makes another."""
        before = self.references()
        self.rotate()
        self.cloud.credentials.clear()
        for _ in range(4):
            self.poll()
            if self.stack.status == "UPDATE_IN_PROGRESS":
                self.heat_finishes()
        self.assertEqual("sign", self.state()["step"])
        self.pass_time(1300)
        self.poll()
        self.assertEqual("UPDATE_FAILED", self.cluster(self.uuid).status)

        self.take_charge(fake_cloud.OWNER)
        self.go_on()

        self.assert_taken_over(before, fake_cloud.OWNER)

    def test_taking_over_stops(self):
        """A credential that managers do not take over leaves all as it was, to be tried again."""
        before = self.references()
        self.lazy = True
        self.rotate()
        self.lose()
        self.poll()
        self.take_charge()
        self.assertEqual(before["ca_cert_ref"], self.record().state.ca.old["ca_cert_ref"])
        self.heat_finishes()
        self.pass_time(700)
        self.poll()
        cluster = self.cluster(self.uuid)
        self.assertEqual("UPDATE_FAILED", cluster.status)
        self.assertIn("Managers do not take the new credential over", cluster.status_reason)
        self.assertTrue(self.record().state.ca.failed)
        self.assertTrue(self.serves(self.old))

        self.lazy = False
        self.take_charge()
        self.go_on()

        self.assert_taken_over(before)

    def test_not_permitted(self):
        """What Magnum may not revoke is said at the end of all."""
        self.lazy = True
        self.rotate()
        self.lose()
        self.poll()
        self.cloud.credentials["left"] = {
            "id": "left",
            "user": fake_cloud.OWNER,
            "name": f"magnum-swarm-mode-node-{self.uuid}",
            "access_rules": [],
        }
        self.lazy = False
        self.take_charge()
        self.cloud.service_is_admin = False
        self.go_on()
        reason = self.cluster(self.uuid).status_reason
        self.assertIn("fetch the client's files again", reason)
        self.assertIn("Its owner or an administrator must delete it.", reason)

    def test_deleted_meanwhile(self):
        """A cluster that is deleted while it is taken over leaves no certificate behind."""
        self.lazy = True
        self.rotate()
        self.lose()
        self.poll()
        self.take_charge()
        self.assertEqual(8, len(self.certificates()))
        self.delete(self.uuid, self.context(fake_cloud.MEMBER))
        self.cloud.finish_deletes()
        self.poll(3)
        self.assertEqual(([], []), (self.clusters(), self.certificates()))

    def test_begun_by_others(self):
        """While it still goes on by itself no credential is rotated."""
        self.rotate()
        error = self.assertRaises(magnum_exception.InvalidParameterValue, self.take_charge)
        self.assertIn("Another operation is under way", str(error))

    def test_conductor_dies(self):
        """A conductor that dies while another member takes over leaves what a second try ends."""
        deaths = 0
        for number in range(3, 80, 9):
            with self.subTest(number=number):
                before, owner = self.references(), self.owner()
                (other,) = {fake_cloud.OWNER, fake_cloud.MEMBER} - {owner}
                self.old, self.lazy = self.files(), True
                self.rotate(self.context(owner))
                self.lose()
                self.poll()
                self.lazy = False
                died = self._dies(number, other)
                deaths += died
                self.assert_taken_over(before, other)
                self.cloud.without_roles.discard(owner)
            if not died:
                break
        self.assertGreater(deaths, 3)

    def _dies(self, number, other):
        killer = base.Killer()
        died = False
        with killer:
            killer.deadly = number
            try:
                self.take_charge(other)
                self.go_on()
            except base.Died:
                died = True
        if died:
            self.pass_time(300)
            requests.recall(self.store, self.cluster(self.uuid), self.record())
            self._go_on_or_again(other)
        return died

    def _go_on_or_again(self, other):
        self.go_on()
        if self.cluster(self.uuid).status == "UPDATE_FAILED":
            self.assertRegex(
                self.cluster(self.uuid).status_reason,
                "rotate the credential again|credential rotate",
            )
            self.take_charge(other)
            self.go_on()


class OldMagnumTest(OwnerLostCase):
    """Magnum 20, on which nobody can take a cluster over."""

    def setUp(self):
        super().setUp()
        if hasattr(driver.Driver, "rotate_credential"):
            name = f"{driver.__name__}.Driver.rotate_credential"
            self.useFixture(fixtures.MonkeyPatch(name, fixtures.MonkeyPatch.delete))
        self.assertFalse(grants.may_change())

    def test_certificates(self):
        """The reason says what can be done instead; old and new files serve as before."""
        self.rotate()
        self.lose()
        self.poll()
        cluster = self.cluster(self.uuid)
        cases.shown(
            self, "certificates-owner-gone-20", cluster.status_reason, answer=cluster.status
        )
        self.assertTrue(self.serves(self.old))
        self.assertTrue(self.serves(self.files()))

    def test_operation(self):
        """The same is said of any other operation."""
        self.lose()
        self.resize(3, context=self.context(fake_cloud.MEMBER))
        self.poll()
        cluster = self.cluster(self.uuid)
        cases.shown(self, "owner-gone-20", cluster.status_reason, answer=cluster.status)
