# SPDX-License-Identifier: Apache-2.0
"""The conductor and what Magnum 17's Swarm drivers left."""

import uuid
from typing import Any

import sqlalchemy
from magnum import objects
from magnum.db.sqlalchemy import models
from oslo_db.sqlalchemy import enginefacade

from magnum_swarm_mode import exceptions, legacy_driver
from tests.functional.conductor import base, fake_cloud


class LegacyTest(base.DriverTest):
    def insert(self, table, **values):
        """Write a row, of what columns this release's table has."""
        engine = enginefacade.writer.get_engine()
        found = models.Base.metadata.tables[table]
        row = {name: value for name, value in values.items() if name in found.columns}
        with engine.begin() as connection:
            connection.execute(sqlalchemy.insert(found), [row])

    def existing(
        self, coe="swarm-mode", distro="fedora-atomic", status="CREATE_COMPLETE", stack=True
    ):
        """Write a cluster's rows as Magnum 17 did; return its uuid."""
        template, ident = str(uuid.uuid4()), str(uuid.uuid4())
        references = [str(uuid.uuid4()) for _ in range(2)]
        for reference in references:
            self.insert("x509keypair", uuid=reference, certificate="PEM", private_key="PEM")
        self.insert(
            "cluster_template",
            uuid=template,
            project_id=fake_cloud.PROJECT,
            user_id=fake_cloud.OWNER,
            name="old",
            coe=coe,
            cluster_distro=distro,
            server_type="vm",
            image_id="fedora-atomic-latest",
            network_driver="docker",
            labels={},
            public=False,
        )
        self.stack: Any = None
        if stack:
            self.stack = fake_cloud.Stack(
                id=str(uuid.uuid4()),
                name="old-nbqb5yuztfds",
                project=fake_cloud.PROJECT,
                parameters={},
                trust="",
                status="CREATE_COMPLETE",
            )
            self.cloud.stacks[self.stack.id] = self.stack
        trust = uuid.uuid4().hex
        if "trust_id" in objects.Cluster.fields:
            # Magnum 23 drops the columns, and nobody could find the trust then.
            self.cloud.users[f"{ident}_{fake_cloud.PROJECT}"] = "trustee"
            self.cloud.trusts[trust] = {
                "id": trust,
                "trustor_user_id": fake_cloud.OWNER,
                "trustee_user_id": "trustee",
                "project_id": fake_cloud.PROJECT,
                "roles": [],
                "expires_at": None,
            }
        self.insert(
            "cluster",
            uuid=ident,
            project_id=fake_cloud.PROJECT,
            user_id=fake_cloud.OWNER,
            name="old",
            cluster_template_id=template,
            keypair="fuel",
            labels={},
            stack_id=self.stack.id if self.stack else None,
            api_address="tcp://172.24.4.9:2376",
            status=status,
            create_timeout=60,
            discovery_url="https://discovery.etcd.io/a5ece414689287eca62e35555512bfd5",
            ca_cert_ref=references[0],
            magnum_cert_ref=references[1],
            trust_id=trust,
            trustee_username=f"{ident}_{fake_cloud.PROJECT}",
            trustee_user_id="trustee",
            trustee_password="secret",
            health_status_reason={},
        )
        for role in ("master", "worker"):
            self.insert(
                "nodegroup",
                uuid=str(uuid.uuid4()),
                name=f"default-{role}",
                cluster_id=ident,
                project_id=fake_cloud.PROJECT,
                role=role,
                node_count=1,
                min_node_count=0,
                is_default=True,
                status=status,
                labels={},
                node_addresses=[],
                image_id="fedora-atomic-latest",
                stack_id=self.stack.id if self.stack else None,
            )
        return ident

    def assert_nothing_left(self):
        self.assertEqual([], self.clusters())
        self.assertEqual([], self.certificates())
        self.assertEqual([], self.records())
        self.assertEqual({}, self.cloud.leftovers())

    def test_deleted(self):
        """The stack goes, then everything that Magnum has of the cluster."""
        for coe in ("swarm", "swarm-mode"):
            with self.subTest(coe=coe):
                ident = self.existing(coe)
                self.delete(ident)
                self.assertEqual("DELETE_IN_PROGRESS", self.cluster(ident).status)
                self.assertEqual("DELETE_IN_PROGRESS", self.stack.status)
                self.poll()
                self.assertEqual("DELETE_IN_PROGRESS", self.cluster(ident).status)
                self.cloud.finish_deletes()
                self.poll()
                self.assert_nothing_left()

    def test_stack_is_gone(self):
        """A cluster whose stack somebody has deleted goes at once."""
        ident = self.existing()
        self.cloud.stacks.clear()
        self.delete(ident)
        self.poll()
        self.assert_nothing_left()

    def test_never_had_a_stack(self):
        """So does one that never had any."""
        self.delete(self.existing(stack=False, status="CREATE_FAILED"))
        self.poll()
        self.assert_nothing_left()

    def test_stack_cannot_be_deleted(self):
        """What Heat says is told, and the cluster can be deleted again."""
        ident = self.existing()
        self.delete(ident)
        self.stack.status, self.stack.reason = "DELETE_FAILED", "Resource DELETE failed: port"
        self.poll()
        cluster = self.cluster(ident)
        self.assertEqual("DELETE_FAILED", cluster.status)
        self.assertIn("Resource DELETE failed: port", cluster.status_reason)
        self.delete(ident)
        self.cloud.finish_deletes()
        self.poll()
        self.assert_nothing_left()

    def test_magnum_cannot_see_the_stack(self):
        """Where Magnum's user sees no stack of others, a second delete finds that it is gone."""
        self.cloud.service_is_admin = False
        ident = self.existing()
        if "trust_id" in objects.Cluster.fields:
            # There Magnum needs the right anyway, to delete the cluster's user.
            return
        self.delete(ident)
        self.cloud.finish_deletes()
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(ident).status)
        self.delete(ident)
        self.poll()
        self.assert_nothing_left()

    def test_interrupted(self):
        """What was under way when the driver went is continued if it was a delete, or ended."""
        ident = self.existing(status="DELETE_IN_PROGRESS")
        self.stack.status = "DELETE_IN_PROGRESS"
        self.poll()
        self.assertEqual("DELETE_IN_PROGRESS", self.cluster(ident).status)
        self.cloud.finish_deletes()
        self.poll()
        self.assert_nothing_left()
        for status in ("CREATE", "UPDATE"):
            ident = self.existing(status=f"{status}_IN_PROGRESS")
            self.poll()
            cluster = self.cluster(ident)
            self.assertEqual(f"{status}_FAILED", cluster.status)
            self.assertIn("can only be deleted", cluster.status_reason)

    def test_second_line(self):
        """What gets past the API is refused here."""
        driver = legacy_driver.Driver()
        cluster = self.cluster(self.existing())
        for name in ("update_cluster", "resize_cluster", "upgrade_cluster", "create_nodegroup"):
            error = self.assertRaises(
                exceptions.Refused, getattr(driver, name), self.context(), cluster
            )
            self.assertIn("only listed, shown and deleted", str(error))
        error = self.assertRaises(
            exceptions.Refused, driver.create_cluster, self.context(), cluster, 60
        )
        self.assertIn("up to release 17", str(error))
