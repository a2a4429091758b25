# SPDX-License-Identifier: Apache-2.0
import secrets
from concurrent.futures import ThreadPoolExecutor

from devcloud.demo import steps
from tests.endtoend import base, clusters, shared, snapshots, users
from tests.endtoend.clusters import Cluster
from tests.endtoend.waiting import wait_for


class DeleteTestCase(base.EndToEndTestCase):
    """Compares what there is with what there was before the cluster."""

    def assert_nothing_left(self, before: snapshots.Snapshot) -> None:
        left = snapshots.leftovers(before)
        self.assertEqual({}, left, snapshots.describe(left))

    def template(self, name: str, **fields: object) -> str:
        """A cluster template of the test's own; its name."""
        clusters.make_template(self.demo, name, **fields)
        self.addCleanup(clusters.remove_template, self.demo, name)
        return name

    def ask(self, name: str, template: str, managers: int = 1, workers: int = 1) -> Cluster:
        """Ask for a cluster that is removed at the end whatever happens."""
        cluster = clusters.ask_for(self.demo, name, template, managers, workers)
        self.addCleanup(cluster.remove)
        return cluster


class TestA0Demonstration(DeleteTestCase):
    """The cluster of the demonstration and the plain one are deleted."""

    def test_nothing_remains(self) -> None:
        """Of 16 machines with floating IPs, volumes and credentials nothing remains."""
        before = shared.before_everything()
        both = [shared.demonstration().cluster, shared.plain().cluster]
        self.demo.run("magnum", "cluster-delete", steps.CLUSTER)
        self.demo.run("openstack", "coe", "cluster", "delete", shared.PLAIN)
        for cluster in both:
            cluster.wait_gone()
        self.demo.run("magnum", "cluster-template-delete", steps.TEMPLATE)
        self.demo.run("openstack", "coe", "cluster", "template", "delete", shared.PLAIN)
        shared.forget()
        self.assert_nothing_left(before)


class TestDelete(DeleteTestCase):
    """The other ways in which clusters end."""

    def test_every_way(self) -> None:
        """A cluster can be deleted at any moment of its creation, after it failed, with its stack
        already gone, by another member of the project and by the administrator, and twice; not
        even access rules of its owner stay behind."""
        other = self._member()
        template = self.template("delete-1", docker_volume_size=1)
        huge = self.template("delete-2", flavor_id=self._huge_flavor())
        before = snapshots.settled()
        by_others = {
            self.ask("by-member", template): other,
            self.ask("by-admin", template): self.admin,
        }
        with ThreadPoolExecutor(3) as pool:
            for case in [
                pool.submit(self._while_creating, template),
                pool.submit(self._failed, huge),
                pool.submit(self._without_stack, template),
            ]:
                case.result()
        # After all others: the owner's own delete would remove what these leave.
        for cluster in by_others:
            cluster.wait("CREATE_COMPLETE")
        for cluster, user in by_others.items():
            cluster.delete(user)
        for cluster in by_others:
            self._delete_again(cluster)
        for cluster in by_others:
            cluster.wait_gone()
        self.assert_nothing_left(before)

    def _while_creating(self, template: str) -> None:
        at_once = self.ask("at-once", template)
        at_once.delete()
        with_servers = self.ask("with-servers", template, workers=2)
        wait_for("a server", with_servers.servers, timeout=240, interval=1)
        with_servers.delete()
        for cluster in (at_once, with_servers):
            cluster.wait_gone()

    def _failed(self, template: str) -> None:
        """Nova has no host for it; it says so."""
        cluster = self.ask("too-large", template)
        status, reason = cluster.wait("CREATE_FAILED", timeout=300)
        self.assertEqual("CREATE_FAILED", status)
        self.assertRegex(reason, r"(?i)no valid host|not enough")
        cluster.delete()
        cluster.wait_gone()

    def _without_stack(self, template: str) -> None:
        cluster = self.ask("without-stack", template)
        cluster.wait("CREATE_COMPLETE")
        stack = cluster.stack()["stack_name"]
        self.demo.run("openstack", "stack", "delete", "--yes", "--wait", stack)
        cluster.delete()
        self._delete_again(cluster)
        cluster.wait_gone()

    def _delete_again(self, cluster: Cluster) -> None:
        """A second request while the first one runs; it may come too late, and nothing else."""
        if cluster.record() is None:
            return
        try:
            cluster.delete()
        except Exception:
            if cluster.record() is not None:
                raise

    def _huge_flavor(self) -> str:
        """A flavor with more disk than the host has: of memory and cores the quota would refuse so
        much first."""
        flavor = f"huge-{secrets.token_hex(4)}"
        body = {"flavor": {"name": flavor, "ram": 1024, "vcpus": 1, "disk": 9_000_000}}
        ident = self.admin.cloud.call("POST", "compute", "/flavors", body)["flavor"]["id"]
        self.addCleanup(self.admin.cloud.call, "DELETE", "compute", f"/flavors/{ident}")
        return flavor

    def _member(self) -> users.User:
        name, password = f"member-{secrets.token_hex(4)}", secrets.token_hex(16)
        cloud = self.admin.cloud
        user = {"name": name, "password": password, "domain_id": "default"}
        ident = cloud.call("POST", "identity", "/users", {"user": user})["user"]["id"]
        self.addCleanup(cloud.call, "DELETE", "identity", f"/users/{ident}")
        project = cloud.get("identity", "/projects?name=demo")["projects"][0]["id"]
        for wanted in ("member", "heat_stack_owner"):
            role = cloud.get("identity", f"/roles?name={wanted}")["roles"][0]["id"]
            path = f"/projects/{project}/users/{ident}/roles/{role}"
            cloud.call("PUT", "identity", path)
        return users.same_project(name, password)
