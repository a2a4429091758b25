# SPDX-License-Identifier: Apache-2.0
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devcloud import settings
from devcloud.demo import observe
from tests.endtoend import base, clusters, images, services, shared
from tests.endtoend.clusters import Cluster, Server
from tests.endtoend.docker import Docker, roles, whole
from tests.endtoend.users import User
from tests.endtoend.waiting import never, wait_for

STACK_TIMEOUT = 240.0  # seconds that an update of a stack may take
# Seconds for which a manager that is alone must not found a swarm; RECOVERY_ALONE=60 is longer.
ALONE = float(os.environ.get("RECOVERY_ALONE", "20"))
SWARM_STATE = (
    "docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} "
    "{{with .Swarm.Cluster}}{{.ID}}{{end}}' 2>/dev/null"
)


def server_status(user: User, ident: str) -> str:
    """Nova's status of a server, and its task, if it has one."""
    record = user.cloud.get("compute", f"/servers/{ident}")["server"]
    return " ".join(filter(None, (record["status"], record["OS-EXT-STS:task_state"])))


class RecoveryTestCase(base.EndToEndTestCase):
    """Waits for servers."""

    def wait_server(self, server: Server, status: str, timeout: float = 120.0) -> None:
        wait_for(
            f"{server.name} to be {status}",
            lambda: server_status(self.demo, server.ident),
            lambda seen: seen == status,
            timeout=timeout,
        )

    def _wait_in(self, swarm_id: str, manager: Docker) -> None:
        """A manager that has just joined knows its swarm a moment later than the others know it."""
        wait_for(
            "the manager to know its swarm",
            manager.swarm_id,
            lambda seen: seen != "",
            timeout=60,
        )
        self.assertEqual(swarm_id, manager.swarm_id())

    def rebuild(self, server: Server) -> None:
        """Have Nova build it anew, with its old user-data."""
        image = self.demo.cloud.get("compute", f"/servers/{server.ident}")["server"]["image"]["id"]
        self.demo.act(server.ident, "rebuild", imageRef=image)
        self.wait_server(server, "ACTIVE")


class TestManagersLost(RecoveryTestCase):
    """Managers are lost: of a swarm that is complete, and while Magnum says CREATE_IN_PROGRESS."""

    def _create(self, name: str, workers: int = 1, **labels: str) -> Cluster:
        """A cluster of 3 managers, of which a test keeps a node from reporting to Heat, so that it
        is not completed."""
        cluster = clusters.ask_for(
            *(self.demo, name, shared.PLAIN, 3, workers),
            create_timeout=8,
            labels={**clusters.SSH, **labels},
        )
        self.addCleanup(cluster.remove)
        return cluster

    def _stop(self, cluster: Cluster, choose: str) -> Server:
        """Stop a server of the cluster as soon as it runs; it."""
        found = wait_for(
            f"{choose} of {cluster.name}",
            lambda: [
                one
                for one in cluster.servers()
                if one.name.endswith(choose) and one.status == "ACTIVE"
            ],
            timeout=120,
            interval=1,
        )[0]
        self.demo.act(found.ident, "os-stop")
        return found

    def test_all(self) -> None:
        """All cases, each on a cluster of its own: most of their time is spent waiting."""
        swarm = shared.plain()  # makes the template, too

        def of_a_complete_swarm() -> None:
            self._replaced(swarm)
            self._alone(swarm)

        cases = (of_a_complete_swarm, self._quorum_stands, self._quorum_lost, self._silent)
        with ThreadPoolExecutor(len(cases)) as pool:
            for case in [pool.submit(case) for case in cases]:
                case.result()

    def _replaced(self, swarm: shared.Shared) -> None:
        """A manager 0 that Heat makes again joins the living swarm; its dead entry is gone."""
        manager = swarm.cluster.managers()[0]
        survivor = swarm.docker.at(swarm.cluster.managers()[1].floating)
        swarm_id = survivor.swarm_id()
        before = {node.ident for node in survivor.nodes()}

        self.demo.run("openstack", "server", "delete", "--wait", manager.ident)
        resource = next(
            one for one in swarm.cluster.resources() if one["physical_resource_id"] == manager.ident
        )
        links = {one["rel"]: one["href"] for one in resource["links"]}
        nested = links["stack"].rpartition("/")[2]
        self.demo.run(
            *("openstack", "stack", "resource", "mark", "unhealthy"),
            *(nested, resource["resource_name"], "gone"),
        )
        stack = swarm.cluster.stack()["stack_name"]
        self.demo.run("openstack", "stack", "update", "--existing", stack)
        wait_for(
            "Heat to have made the manager again",
            lambda: swarm.cluster.stack()["stack_status"],
            lambda seen: not seen.endswith("_IN_PROGRESS"),
            timeout=STACK_TIMEOUT,
        )
        self.assertEqual("UPDATE_COMPLETE", swarm.cluster.stack()["stack_status"])
        wait_for(
            "three managers, all reachable",
            lambda: roles(survivor.try_nodes()),
            lambda seen: seen == whole(shared.PLAIN_MANAGERS, shared.PLAIN_WORKERS),
            timeout=120,
        )
        after = {node.ident for node in survivor.nodes()}
        self.assertEqual(1, len(after - before))
        again = swarm.cluster.managers()[0]
        self.assertNotEqual(manager.ident, again.ident)
        self.assertEqual(manager.fixed, again.fixed)
        self.assertEqual(manager.floating, again.floating)
        self._wait_in(swarm_id, swarm.docker.at(again.floating))
        self.assertEqual("CREATE_COMPLETE", swarm.cluster.status()[0])

    def _alone(self, swarm: shared.Shared) -> None:
        """Rebuilt by Nova while the others are down it founds nothing; it joins when they are
        back."""
        first, *others = swarm.cluster.managers()
        swarm_id = swarm.docker.at(first.floating).swarm_id()
        self.assertTrue(swarm_id)
        self.addCleanup(self._start, others)
        for one in others:
            self.demo.act(one.ident, "os-stop")
        for one in others:
            self.wait_server(one, "SHUTOFF")
        self.rebuild(first)
        machine = swarm.cluster.machine(first)
        wait_for(
            "the engine of the rebuilt manager",
            lambda: machine.try_text(SWARM_STATE),
            lambda seen: seen.startswith(("inactive", "pending", "active", "error")),
            timeout=120,
        )
        never(
            "a second swarm",
            lambda: machine.try_text(SWARM_STATE),
            lambda seen: seen.startswith("active") or " true" in seen,
            during=ALONE,
            interval=3,
        )
        self._start(others)
        wait_for(
            "manager 0 to be in the old swarm again",
            lambda: roles(swarm.docker.at(others[0].floating).try_nodes()),
            lambda seen: seen == whole(shared.PLAIN_MANAGERS, shared.PLAIN_WORKERS),
            timeout=240,
        )
        self._wait_in(swarm_id, swarm.docker.at(first.floating))

    def _start(self, servers: list[Server]) -> None:
        for one in servers:
            if server_status(self.demo, one.ident) == "SHUTOFF":
                self.demo.act(one.ident, "os-start")
        for one in servers:
            self.wait_server(one, "ACTIVE")

    def _quorum_stands(self) -> None:
        """A manager that is lost when all are in the swarm joins the swarm of the others."""
        cluster = self._create(shared.LOST[0])
        worker = self._stop(cluster, "worker-0")
        self._wait_signals(cluster, 3)
        manager = cluster.managers()[0]
        self.rebuild(manager)
        docker = cluster.client(self.temporary_directory()).at(cluster.managers()[1].floating)
        swarm_id = docker.swarm_id()
        wait_for(
            "manager 0 to be in the swarm of the others",
            lambda: roles(docker.try_nodes()),
            lambda seen: seen == {"Leader": 1, "Reachable": 2},
            timeout=180,
        )
        self.wait_server(worker, "SHUTOFF")
        self.demo.act(worker.ident, "os-start")
        cluster.wait("CREATE_COMPLETE")
        self._wait_in(swarm_id, docker.at(manager.floating))
        shared.wait_until_whole(docker, 3, 1)
        cluster.remove()

    def _quorum_lost(self) -> None:
        """Two of three that are lost found nothing; creation fails and says that the quorum is
        lost."""
        group = self._without_heat()
        cluster = self._create(shared.LOST[2], workers=0)
        # It joins like the others, but Heat goes on waiting for it.
        port = wait_for(
            "the port of manager 2",
            lambda: self._port(cluster, "manager-2"),
            timeout=120,
            interval=0.5,
        )
        self._move(port, group)
        self._wait_signals(cluster, 2)
        first, second, _ = cluster.managers()
        docker = cluster.client(self.temporary_directory()).at(second.floating)
        wait_for(
            "three managers in the swarm",
            lambda: roles(docker.try_nodes()),
            lambda seen: seen == {"Leader": 1, "Reachable": 2},
            timeout=120,
        )
        self.assertEqual("CREATE_IN_PROGRESS", cluster.status()[0])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.rebuild, (first, second)))
        _, reason = cluster.wait("CREATE_FAILED", timeout=300)
        self.assertIn("the swarm has lost its quorum", reason)
        self.assertIn("manager 2 is in a swarm without a leader", reason)
        for manager in (first, second):
            state = cluster.machine(manager).try_text(SWARM_STATE)
            self.assertTrue(state.startswith("inactive"), state)
        cluster.remove()

    def _without_heat(self) -> str:
        """A security group that lets everything pass but requests to Heat's API; its id."""
        cloud = self.demo.cloud
        body = {"security_group": {"name": "without-heat"}}
        made = cloud.call("POST", "network", "/v2.0/security-groups", body)["security_group"]
        self.addCleanup(cloud.call, "DELETE", "network", f"/v2.0/security-groups/{made['id']}")
        for rule in made["security_group_rules"]:
            cloud.call("DELETE", "network", f"/v2.0/security-group-rules/{rule['id']}")
        rules: list[dict[str, object]] = [
            {"direction": "ingress"},
            {"direction": "egress", "protocol": "udp"},
        ]
        for low, high in ((1, settings.HEAT_PORT - 1), (settings.HEAT_PORT + 1, 65535)):
            ports = {"port_range_min": low, "port_range_max": high}
            rules.append({"direction": "egress", "protocol": "tcp", **ports})
        for rule in rules:
            rule.update(security_group_id=made["id"], ethertype="IPv4")
            wanted = {"security_group_rule": rule}
            cloud.call("POST", "network", "/v2.0/security-group-rules", wanted)
        return str(made["id"])

    def _port(self, cluster: Cluster, name: str) -> dict[str, Any]:
        path = f"/v2.0/ports?name={cluster.name}-{name}"
        ports: list[dict[str, Any]] = self.demo.cloud.get("network", path)["ports"]
        return ports[0] if ports else {}

    def _move(self, port: dict[str, Any], group: str) -> None:
        """Put a port into a group alone; its former ones go on letting it in."""
        source = {
            "direction": "ingress",
            "ethertype": "IPv4",
            "remote_ip_prefix": f"{port['fixed_ips'][0]['ip_address']}/32",
        }
        for former in port["security_groups"]:
            rule = {"security_group_rule": {"security_group_id": former, **source}}
            self.demo.cloud.call("POST", "network", "/v2.0/security-group-rules", rule)
        body = {"port": {"security_groups": [group]}}
        self.demo.cloud.call("PUT", "network", f"/v2.0/ports/{port['id']}", body)

    def _silent(self) -> None:
        """While one is silent that never was there the others found nothing; creation fails and
        says who was silent."""
        cluster = self._create(shared.LOST[1], join_timeout="90")
        self._stop(cluster, "manager-2")
        _, reason = cluster.wait("CREATE_FAILED", timeout=420)
        self.assertIn("manager 2 is silent", reason)
        for manager in cluster.managers()[:2]:
            state = cluster.machine(manager).try_text(SWARM_STATE)
            self.assertTrue(state.startswith("inactive"), state)
        cluster.remove()

    def _wait_signals(self, cluster: Cluster, managers: int) -> None:
        def look() -> observe.Seen | None:
            return observe.look(self.demo.cloud, cluster.uuid)

        wait_for(
            f"{managers} managers in the swarm while the cluster is made",
            look,
            lambda seen: seen is not None and seen.managers_joined >= managers,
            timeout=180,
        )


class TestAllRebooted(RecoveryTestCase):
    """Everything loses power at once."""

    def test_same_swarm(self) -> None:
        """The same swarm comes back with its services."""
        swarm = shared.demonstration()
        swarm.cluster.allow_ssh()
        images.bring(swarm.cluster)
        network = services.overlay(swarm.docker, "lasting")
        self.addCleanup(services.remove_network, swarm.docker, network)
        web = services.web(swarm.docker, "lasting-web", network, shared.WORKERS)
        self.addCleanup(services.remove, swarm.docker, web)
        services.wait_running(swarm.docker, web, shared.WORKERS)
        swarm_id = swarm.docker.swarm_id()
        nodes = {node.ident for node in swarm.docker.nodes()}
        containers = services.containers(swarm.docker, web)

        servers = swarm.cluster.servers()
        self.assertEqual(shared.MANAGERS + shared.WORKERS, len(servers))
        self._reboot(servers)
        shared.wait_until_whole(swarm.docker, shared.MANAGERS, shared.WORKERS, timeout=180)
        self.assertEqual(swarm_id, swarm.docker.swarm_id())
        self.assertEqual(nodes, {node.ident for node in swarm.docker.nodes()})
        services.wait_running(swarm.docker, web, shared.WORKERS, timeout=180)
        self.assertEqual(set(), services.containers(swarm.docker, web) & containers)

    def _reboot(self, servers: list[Server]) -> None:
        began = time.monotonic()

        def reboot(server: Server) -> None:
            self.demo.act(server.ident, "reboot", type="HARD")

        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(reboot, servers))
        self.assertLess(time.monotonic() - began, 30, "they were not rebooted at once")
        for one in servers:
            self.wait_server(one, "ACTIVE")
