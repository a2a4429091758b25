# SPDX-License-Identifier: Apache-2.0
from tests.endtoend import base, images, services, shared
from tests.endtoend.waiting import wait_for

REPLICAS = 8


class TestService(base.EndToEndTestCase):
    """A replicated service of a locally imported image on the cluster of the demonstration."""

    def setUp(self) -> None:
        super().setUp()
        swarm = shared.demonstration()
        self.docker = swarm.docker
        swarm.cluster.allow_ssh()
        images.bring(swarm.cluster)

    def test_spreads_and_talks(self) -> None:
        """One task runs on each worker, and every task reaches every other over the overlay."""
        network = services.overlay(self.docker, "net")
        self.addCleanup(services.remove_network, self.docker, network)
        web = services.web(self.docker, "web", network, REPLICAS)
        self.addCleanup(services.remove, self.docker, web)
        tasks = services.wait_running(self.docker, web, REPLICAS)
        workers = {node.hostname for node in self.docker.nodes() if not node.manager}
        self.assertEqual(workers, {task.node for task in tasks})

        asker = services.asker(self.docker, "asker", network, web)
        self.addCleanup(services.remove, self.docker, asker)
        services.wait_running(self.docker, asker, len(workers))
        containers = services.containers(self.docker, web)
        wait_for(
            "every worker's asker to reach every task by its address",
            lambda: services.reached(self.docker, asker, "address"),
            lambda seen: seen == {(node, one) for node in workers for one in containers},
            timeout=90,
            interval=5,
        )
        by_name = services.reached(self.docker, asker, "name")
        self.assertEqual(workers, {node for node, _ in by_name})
        self.assertEqual(set(), {one for _, one in by_name} - containers)
