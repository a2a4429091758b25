# SPDX-License-Identifier: Apache-2.0
import contextlib
import dataclasses
import functools
import json
from unittest import mock

import fixtures
from magnum.common import exception as magnum_exception

from magnum_swarm_mode import driver, exceptions
from magnum_swarm_mode.certificates import orphans
from magnum_swarm_mode.cloud import credentials
from magnum_swarm_mode.cloud import sessions as cloud_sessions
from magnum_swarm_mode.conductor import create
from magnum_swarm_mode.conductor.due import loop
from magnum_swarm_mode.db.store import Record, Store
from magnum_swarm_mode.decisions.record import Phase
from tests.functional.conductor import base, fake_cloud


class CreateTest(base.DriverTest):
    def test_complete(self):
        """A cluster is complete when Heat says so and the Docker API answers; all is filled in."""
        uuid = self.create()
        self.poll()
        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        docker = self.serve_docker(uuid)
        self.finish_stack()

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual(("CREATE_COMPLETE", None), (cluster.status, cluster.status_reason))
        self.assertEqual(f"tcp://{base.MANAGER}:2376", cluster.api_address)
        self.assertEqual(self.cloud.stack().id, cluster.stack_id)
        self.assertEqual("20.10.24+dfsg1", cluster.coe_version)
        self.assertEqual("20.10.24+dfsg1", cluster.container_version)
        self.assertEqual([base.MANAGER], cluster.master_addresses)
        self.assertEqual(["10.0.0.21", "10.0.0.22"], cluster.node_addresses)
        for group in cluster.nodegroups:
            self.assertEqual(
                ("CREATE_COMPLETE", self.cloud.stack().id), (group.status, group.stack_id)
            )
        self.assertEqual(["/version", "/version", "/v1.41/nodes"], docker.requests)
        self.assertEqual(
            [("create", "pending"), ("create", "success")],
            [(payload["action"], payload["outcome"]) for _, payload in self.events],
        )

    def test_rights(self):
        """Managers may do three calls for their cluster; the conductor gets a trust; no more."""
        uuid = self.create(self.context(roles=("admin", "member", "reader", "load-balancer")))

        (credential,) = self.cloud.credentials.values()
        self.assertEqual(f"magnum-swarm-mode-node-{uuid}", credential["name"])
        self.assertEqual([{"name": "member"}], credential["roles"])
        calls = {(r["service"], r["method"], r["path"]) for r in credential["access_rules"]}
        expected = {
            ("POST", "/v1/certificates"),
            ("GET", "/v1/certificates/*"),
            ("GET", f"/v1/clusters/{uuid}"),
        }
        prefixed = {(method, f"/magnum{path}") for method, path in expected}
        self.assertEqual({("container-infra", *call) for call in expected | prefixed}, calls)
        self.assertFalse(credential.get("unrestricted"))
        (trust,) = [
            t for t in self.cloud.trusts.values() if t["trustee_user_id"] == fake_cloud.MAGNUM
        ]
        self.assertEqual(
            ["load-balancer", "member", "reader"], [role["name"] for role in trust["roles"]]
        )

    def test_no_secret_is_kept(self):
        """The managers' secret goes to Heat, and is nowhere in Magnum's database."""
        self.create()

        parameters = self.cloud.stack().parameters
        secret = parameters["node_credential_secret"]
        rows = json.dumps([list(map(str, row)) for row in self.records() + self.certificates()])
        self.assertNotIn(secret, rows)

    def test_endpoints(self):
        """Nodes are told the public endpoints, with their versions."""
        self.create()

        parameters = self.cloud.stack().parameters
        self.assertEqual(f"{self.cloud.url}/magnum/v1", parameters["magnum_url"])
        self.assertEqual(f"{self.cloud.url}/v3", parameters["auth_url"])

    def test_docker_silent(self):
        """A cluster whose Docker API does not answer is not complete, and says why."""
        uuid = self.create()
        self.finish_stack()

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status)
        self.assertEqual(
            "All nodes have reported; waiting: The Docker API answers on no manager "
            f"({base.MANAGER}: connection refused).",
            cluster.status_reason,
        )

    def test_worker_in_another_swarm(self):
        """A worker that reported, but is not in the swarm, keeps the cluster from completing."""
        uuid = self.create()
        docker = self.serve_docker(uuid)
        stray = docker.answers["/nodes"][1].pop()
        self.finish_stack()

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status)
        self.assertEqual(
            "All nodes have reported; waiting: In the swarm 1 of 2 workers are ready (missing: "
            "swarm-worker-1).",
            cluster.status_reason,
        )
        docker.answers["/nodes"][1].append(stray)
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)

    def test_polled_meanwhile(self):
        """A creation waits for another conductor that looks at the cluster at that moment."""
        held: list[Record] = []
        original = create._plan

        def plan(*arguments):
            found = original(*arguments)
            record = store.lease(uuid, 60)
            assert record is not None
            held.append(record)
            return found

        def sleep(seconds):
            # The database's library yields with 0 seconds.
            if seconds:
                store.release(held[0])

        store, uuid = Store(), self.new_cluster().uuid
        with mock.patch.object(create, "_plan", plan), mock.patch("time.sleep", sleep):
            self.create(uuid=uuid)

        self.assertEqual(1, len(held))
        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        self.assertEqual(self.cloud.stack().id, self.cluster(uuid).stack_id)

    def test_deleted_meanwhile(self):
        """A delete that overtakes the creation, at whichever request, leaves nothing behind."""
        for number in range(1, 20):
            uuid = self.new_cluster().uuid
            killer = base.Killer()
            with killer:
                killer.deadly, killer.call = number, functools.partial(self._delete_wholly, uuid)
                with contextlib.suppress(magnum_exception.ClusterNotFound):
                    self.create(uuid=uuid)
            if killer.sent < number:
                break  # all requests have had their turn
            for _ in range(3):
                self.pass_time(200)
                self.poll()
                self.cloud.finish_deletes()
            self.assertEqual({}, self.cloud.leftovers())
            self.assertEqual([], self.records())
        self.assertGreater(number, 5)

    def test_deleted_while_certificates_are_made(self):
        """A delete that ends between two of a cluster's certificates leaves none behind, although
        the conductor that makes them dies."""
        for number in range(1, 4):
            uuid = self.new_cluster().uuid
            noted: list[str] = []
            note = orphans.note

            def noting(reference, uuid=uuid, number=number, noted=noted, note=note):
                noted.append(reference)
                if len(noted) > number:
                    raise base.Died
                if len(noted) == number:
                    self._delete_wholly(uuid)
                note(reference)

            with (
                mock.patch.object(orphans, "note", noting),
                contextlib.suppress(magnum_exception.ClusterNotFound, base.Died),
            ):
                self.create(uuid=uuid)
            self.assertGreaterEqual(len(noted), number)
            self.assertEqual([], self.certificates())
            self.assertEqual([], self.records())
            self.assertEqual({}, self.cloud.leftovers())

    def test_deleted_before_a_certificate_is_made(self):
        """A certificate is deleted that a conductor made after the cluster was gone, and died."""
        for number in range(1, 5):
            uuid = self.new_cluster().uuid
            noted: list[str] = []
            note = orphans.note

            def noting(reference, uuid=uuid, number=number, noted=noted, note=note):
                note(reference)
                if reference not in noted:
                    noted.append(reference)
                    if len(noted) == number:
                        self._delete_wholly(uuid)

            def made(_, number=number, noted=noted):
                if len(noted) == number:
                    raise base.Died

            with (
                mock.patch.object(orphans, "note", noting),
                mock.patch.object(orphans, "made", made),
                contextlib.suppress(base.Died),
            ):
                self.create(uuid=uuid)
            self.assertEqual([], self.clusters())
            self.assertEqual(1, len(self.certificates()))

            self.pass_time(601)
            loop.run(Store())

            self.assertEqual([], self.certificates())
            self.assertEqual(1, len(self.records()))
            self.pass_time(orphans.STANDSTILL_SECONDS)
            loop.run(Store())
            self.assertEqual([], self.records())
            self.assertEqual({}, self.cloud.leftovers())

    def test_record_after_the_end(self):
        """A record is deleted that a conductor wrote after the cluster was gone, and died."""
        uuid = self.new_cluster().uuid
        begin = orphans.begin

        def beginning(cluster):
            self._delete_wholly(uuid)
            begin(cluster)
            raise base.Died

        with mock.patch.object(orphans, "begin", beginning), contextlib.suppress(base.Died):
            self.create(uuid=uuid)
        self.assertEqual(([], 1), (self.clusters(), len(self.records())))

        self.pass_time(601)
        loop.run(Store())

        self.assertEqual([], self.records())

    def _delete_wholly(self, uuid):
        """Delete a cluster, and poll in another conductor."""
        self.delete(uuid)
        self.poll()
        self.cloud.finish_deletes()
        self.poll()

    def test_docker_silent_for_long(self):
        """After some minutes without the Docker API the cluster fails."""
        uuid = self.create()
        self.finish_stack()
        self.poll()
        self.pass_time(301)

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("connection refused", cluster.status_reason)

    def test_failed(self):
        """What failed first in Heat becomes the reason."""
        uuid = self.create()
        stack = self.cloud.stack()
        stack.status, stack.reason = "CREATE_FAILED", "Resource CREATE failed: no host"

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("no host", cluster.status_reason)
        self.assertEqual("CREATE_FAILED", cluster.nodegroups[0].status)
        self.assertEqual(stack.id, cluster.stack_id)

    def test_heat_away(self):
        """While Heat does not answer nothing changes but the reason."""
        uuid = self.create()
        self.cloud.down.add("heat")

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status)
        self.assertIn("Heat", cluster.status_reason)

    def test_keystone_away(self):
        """While Keystone does not answer nothing changes but the reason."""
        uuid = self.create()
        self.cloud.down.add("keystone")

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status)
        self.assertIn("Keystone does not answer", cluster.status_reason)

    def test_application_credential(self):
        """A user who came with an application credential is told to log in otherwise."""
        context = self.context(methods=("application_credential",), credential="some")

        error = self.assertRaises(exceptions.Refused, self.create, context)

        self.assertIn("needs a login with a password or single sign-on", str(error))
        self.assertEqual("CREATE_FAILED", self.clusters()[0].status)
        self.assertEqual(str(error), self.clusters()[0].status_reason)
        self.assertEqual({}, self.cloud.leftovers())

    def test_bad_label(self):
        """What is refused is refused before anything is made."""
        self.assertRaises(exceptions.Refused, self.create, labels={"manager_availability": "no"})

        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual([], self.records())

    def test_heat_refuses(self):
        """When Heat refuses the stack, what was made for it is unmade."""
        self.cloud.stacks["x"] = fake_cloud.Stack("x", "", "", {}, "")
        context = self.context()
        cluster = self.new_cluster(context)
        self.cloud.stacks["x"].name = f"swarm-mode-{cluster.uuid}"

        self.assertRaises(exceptions.SwarmModeError, self.create, context, uuid=cluster.uuid)

        del self.cloud.stacks["x"]
        self.assertEqual({}, self.cloud.leftovers())

    def test_heat_away_while_creating(self):
        """When Heat is away, the cluster fails with a sentence, and deleting it clears all."""
        self.cloud.down.add("heat")

        self.assertRaises(exceptions.Unavailable, self.create)

        (cluster,) = self.clusters()
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("Heat", cluster.status_reason)
        self.cloud.down.clear()
        self.delete(cluster.uuid)
        # Whether Heat got the request nobody knows.
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(cluster.uuid).status)
        self.pass_time(130)
        self.poll()
        self.assertNothingLeft()

    def test_created_beside_others(self):
        """A credential that collides with another cluster's in Keystone is asked for again."""
        self.cloud.collisions = 2

        uuid = self.create()

        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        (credential,) = self.cloud.credentials.values()
        self.assertEqual(f"magnum-swarm-mode-node-{uuid}", credential["name"])

    def test_collides_always(self):
        """Keystone that never makes the credential fails the cluster with a sentence."""
        self.useFixture(fixtures.MockPatchObject(credentials, "_CREATE_INTERVAL", 0))
        self.cloud.collisions = 1000

        self.assertRaises(exceptions.Unavailable, self.create)

        (cluster,) = self.clusters()
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("application credential", cluster.status_reason)
        self.assertEqual({}, self.cloud.leftovers())

    def test_lost_answer(self):
        """A stack that Heat makes although its answer was lost is found and used."""
        self.cloud.lost_answers.add("POST")

        uuid = self.create()

        self.assertEqual(self.cloud.stack().id, self.cluster(uuid).stack_id)

    def test_stack_deleted_from_outside(self):
        """A stack that somebody deletes under a cluster in creation fails the cluster."""
        uuid = self.create()
        self.poll()
        self.cloud.stacks.clear()

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("deleted from outside", cluster.status_reason)

    def test_two_conductors(self):
        """While one conductor is at work on a cluster, another leaves it alone."""
        uuid = self.create()
        lease = self.store.lease(uuid, 60)
        assert lease is not None
        self.cloud.requests.clear()

        self.poll()

        self.assertEqual([], self.cloud.requests)
        self.store.release(lease)
        self.poll()
        self.assertNotEqual([], self.cloud.requests)

    def assertNothingLeft(self):  # noqa: N802
        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual(([], [], []), (self.clusters(), self.records(), self.certificates()))


class DeleteTest(base.DriverTest):
    def complete(self):
        uuid = self.create()
        self.serve_docker(uuid)
        self.finish_stack()
        self.poll()
        self.assertEqual("CREATE_COMPLETE", self.cluster(uuid).status)
        return uuid

    def finish(self):
        """Poll until Heat and the conductor are done."""
        self.poll()
        self.cloud.finish_deletes()
        self.poll(2)

    def assertNothingLeft(self):  # noqa: N802
        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual(([], [], []), (self.clusters(), self.records(), self.certificates()))

    def test_owner(self):
        """After the owner's delete nothing is left, access rules and Heat's trust included."""
        uuid = self.complete()

        self.delete(uuid)

        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)
        self.finish()
        self.assertNothingLeft()

    def test_twice(self):
        """Deleting again while it goes changes nothing."""
        uuid = self.complete()
        self.delete(uuid)
        self.poll()

        self.delete(uuid)

        self.finish()
        self.assertNothingLeft()

    def test_while_creating(self):
        """A cluster is deleted while Heat makes it."""
        uuid = self.create()

        self.delete(uuid)

        self.finish()
        self.assertNothingLeft()

    def test_failed(self):
        """A failed cluster is deleted."""
        uuid = self.create()
        self.cloud.stack().status = "CREATE_FAILED"
        self.poll()

        self.delete(uuid)

        self.finish()
        self.assertNothingLeft()

    def test_stack_gone(self):
        """A cluster whose stack is gone already is deleted."""
        uuid = self.complete()
        self.cloud.stacks.clear()
        self.cloud.trusts = {
            i: t for i, t in self.cloud.trusts.items() if t["trustee_user_id"] != fake_cloud.HEAT
        }

        self.delete(uuid)

        self.poll()
        self.assertNothingLeft()

    def test_stack_never_made(self):
        """A cluster that failed before Heat was asked is deleted."""
        self.assertRaises(exceptions.Refused, self.create, labels={"manager_availability": "no"})
        (cluster,) = self.clusters()

        self.delete(cluster.uuid)

        self.poll()
        self.assertNothingLeft()

    def test_member(self):
        """Another member of the project deletes; only rules, which grant nothing, may stay."""
        uuid = self.complete()

        self.delete(uuid, self.context(fake_cloud.MEMBER))

        self.finish()
        self.assertEqual(["rules"], list(self.cloud.leftovers()))
        self.assertEqual([], self.clusters())

    def test_rules_go_later(self):
        """Access rules that a member's delete left go with the owner's next delete."""
        uuid = self.complete()
        self.delete(uuid, self.context(fake_cloud.MEMBER))
        self.finish()
        self.cloud.stacks.clear()
        other = self.create()

        self.delete(other)

        self.finish()
        self.assertNothingLeft()

    def test_rules_go_with_the_next_creation(self):
        """Access rules of a cluster that a member deleted go when its owner creates another."""
        uuid = self.complete()
        self.delete(uuid, self.context(fake_cloud.MEMBER))
        self.finish()
        self.cloud.stacks.clear()

        other = self.create()

        paths = {rule["path"] for rule in self.cloud.rules.values()}
        self.assertIn(f"/v1/clusters/{other}", paths)
        self.assertNotIn(f"/v1/clusters/{uuid}", paths)

    def test_rules_of_living_clusters_stay(self):
        """The access rules of clusters that live are untouched by another's delete."""
        kept, gone = self.create(), self.create()

        self.delete(gone)

        self.finish()
        paths = {rule["path"] for rule in self.cloud.rules.values()}
        self.assertIn(f"/v1/clusters/{kept}", paths)
        self.assertNotIn(f"/v1/clusters/{gone}", paths)
        self.assertIn("/v1/certificates", paths)

    def test_administrator(self):
        """An administrator of another project deletes."""
        uuid = self.complete()
        context = self.context(
            fake_cloud.ADMIN, fake_cloud.OTHER_PROJECT, roles=("admin", "member")
        )

        self.delete(uuid, context)

        self.finish()
        self.assertEqual(["rules"], list(self.cloud.leftovers()))

    def test_owner_in_another_project(self):
        """The owner deletes a cluster that changed hands with a token of another project."""
        uuid = self.complete()
        self.store.amend(uuid, lambda state: dataclasses.replace(state, handed_over=True))
        context = self.context(project=fake_cloud.OTHER_PROJECT, roles=("admin",))

        self.delete(uuid, context)

        self.assertEqual("DELETE_IN_PROGRESS", self.cloud.stack().status)
        self.finish()
        self.assertEqual([], self.clusters())

    def test_owner_is_gone(self):
        """A member deletes a cluster whose owner's account is deleted."""
        uuid = self.complete()
        self.cloud.remove_user(fake_cloud.OWNER)

        self.delete(uuid, self.context(fake_cloud.MEMBER))

        self.finish()
        self.assertNothingLeft()

    def test_owner_is_gone_and_administrator_deletes(self):
        """An administrator deletes a cluster whose owner's account is deleted."""
        uuid = self.complete()
        self.cloud.remove_user(fake_cloud.OWNER)
        context = self.context(
            fake_cloud.ADMIN, fake_cloud.OTHER_PROJECT, roles=("admin", "member")
        )

        self.delete(uuid, context)

        self.finish()
        self.assertNothingLeft()

    def test_owner_is_gone_and_nobody_may(self):
        """Where neither caller nor Magnum may, the delete fails and says who can."""
        uuid = self.complete()
        self.cloud.remove_user(fake_cloud.OWNER)
        self.cloud.service_is_admin = False
        context = self.context("some", fake_cloud.OTHER_PROJECT, roles=("reader",))
        context.is_admin = context.all_tenants = True
        self.cloud.users["some"] = "some"

        self.assertRaises(exceptions.SwarmModeError, self.delete, uuid, context)

        cluster = self.cluster(uuid)
        self.assertEqual("DELETE_FAILED", cluster.status)
        self.assertIn("A member of the project must delete", cluster.status_reason)
        self.delete(uuid, self.context(fake_cloud.MEMBER))
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)

    def test_credential_cannot_be_revoked(self):
        """A credential that nobody may revoke keeps the cluster, and says what to do."""
        uuid = self.complete()
        self.cloud.service_is_admin = False

        self.delete(uuid, self.context(fake_cloud.MEMBER))
        self.finish()

        cluster = self.cluster(uuid)
        self.assertEqual("DELETE_FAILED", cluster.status)
        self.assertIn(f"magnum-swarm-mode-node-{uuid}", cluster.status_reason)
        self.delete(uuid)
        self.finish()
        self.assertNothingLeft()

    def test_delete_failed(self):
        """A stack that Heat cannot delete fails the delete; the next one succeeds."""
        uuid = self.complete()
        self.delete(uuid)
        stack = self.cloud.stack()
        stack.status, stack.reason = "DELETE_FAILED", "Port in use"
        self.poll()
        cluster = self.cluster(uuid)
        self.assertEqual("DELETE_FAILED", cluster.status)
        self.assertIn("Port in use", cluster.status_reason)

        self.delete(uuid)

        self.finish()
        self.assertNothingLeft()

    def test_heat_away(self):
        """Heat being away delays the delete, and nobody has to ask again."""
        uuid = self.complete()
        self.cloud.down.add("heat")
        self.delete(uuid)
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)

        self.cloud.down.clear()

        self.finish()
        self.assertNothingLeft()

    def test_keystone_away_while_cleaning(self):
        """Keystone being away in the end delays the delete."""
        uuid = self.complete()
        self.delete(uuid)
        self.cloud.finish_deletes()
        self.cloud.down.add("keystone")
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)

        self.cloud.down.clear()

        self.poll()
        self.assertNothingLeft()

    def test_poll_that_began_before(self):
        """A poll that began before the delete does not overwrite its status."""
        uuid = self.create()
        self.serve_docker(uuid)
        self.finish_stack()
        before = self.cluster(uuid)
        self.delete(uuid)

        driver.Driver().update_cluster_status(cloud_sessions.admin_context(), before)

        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(uuid).status)


class DeathTest(base.DriverTest):
    """A conductor dies at each request it sends; others go on."""

    def die(self, number, after, function, *arguments):
        """Run a function in a conductor that dies; tell whether it did."""
        killer = base.Killer()
        with killer:
            killer.deadly, killer.after = number, after
            try:
                function(*arguments)
            except base.Died:
                return True
        return False

    def assertNothingLeft(self):  # noqa: N802
        self.assertEqual({}, self.cloud.leftovers())
        self.assertEqual(([], [], []), (self.clusters(), self.records(), self.certificates()))

    def each_death(self, prepare, act, survive):
        for after in (False, True):
            # With steps other points for deaths before a request than for those after it.
            number = int(after)
            while True:
                number += base.DEATH_STEP
                uuid = prepare()
                died = self.die(number, after, act, uuid)
                self.assert_owned(uuid)
                survive(uuid)
                self.assertNothingLeft()
                self.cloud.stacks.clear()
                if not died:
                    break
        self.assertGreater(number, 5)

    def clear(self, uuid):
        """Delete the cluster, and let leases of the dead run out."""
        self.delete(uuid)
        for _ in range(4):
            self.pass_time(700)
            self.poll()
            self.cloud.finish_deletes()

    def test_creating(self):
        """Whatever a conductor that died while creating has made, deleting the cluster finds."""

        def prepare():
            return self.new_cluster().uuid

        def act(uuid):
            self.create(uuid=uuid)

        self.each_death(prepare, act, self.clear)

    def test_deleting(self):
        """A delete that a conductor died in is finished by another when it is asked again."""

        def prepare():
            uuid = self.create()
            self.poll()
            return uuid

        self.each_death(prepare, self.delete, self.clear)

    def test_watching_a_delete(self):
        """A delete whose watcher died is finished by the next poll, without anybody asking."""

        def prepare():
            uuid = self.create()
            self.delete(uuid)
            self.cloud.finish_deletes()
            return uuid

        def act(_):
            self.poll(2)

        def survive(_):
            for _ in range(3):
                self.pass_time(700)
                self.poll()

        self.each_death(prepare, act, survive)

    def test_watching_a_creation(self):
        """A creation whose conductor died after asking Heat is completed by another, for good."""
        for number in range(1, 100):
            uuid = self.new_cluster().uuid
            self.die(number, True, functools.partial(self.create, uuid=uuid))
            if self.cloud.stacks:
                break
            self.clear(uuid)
        self.serve_docker(uuid)
        self.finish_stack()
        self.pass_time(700)

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_COMPLETE", cluster.status)
        self.assertEqual(self.cloud.stack().id, cluster.stack_id)
        # Only such a cluster can be changed.
        record = self.store.get(uuid)
        self.assertIs(Phase.CREATED, record and record.state.phase)

    def test_interrupted(self):
        """A creation that died before Heat was asked fails in time, and says so."""
        uuid = self.new_cluster().uuid
        self.assertTrue(self.die(5, True, lambda: self.create(uuid=uuid)))
        self.assertEqual({}, self.cloud.stacks)
        self.poll()
        self.assertEqual("CREATE_IN_PROGRESS", self.cluster(uuid).status)
        # The lease of the one that died, and what Heat may take.
        self.pass_time(125)

        self.poll()

        cluster = self.cluster(uuid)
        self.assertEqual("CREATE_FAILED", cluster.status)
        self.assertIn("interrupted", cluster.status_reason)
