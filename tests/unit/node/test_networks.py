# SPDX-License-Identifier: Apache-2.0
from magnum_swarm_mode.node.base import docker
from magnum_swarm_mode.node.duties import networks
from tests.unit.node import fakes

MTU = "com.docker.network.driver.mtu"


class NetworksTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.engine = self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.docker = docker.Docker(socket_path=self.paths.docker_socket)

    def _changes(self):
        return [call for call in self.engine.calls() if not call.startswith("GET")]

    def test_gateway_is_made(self):
        """docker_gwbridge gets the MTU before the swarm makes it, and is then left alone."""
        networks.ensure_gateway(self.docker, 1450)
        options = self.engine.networks["docker_gwbridge"]["Options"]
        self.assertEqual("1450", options[MTU])
        self.assertEqual("docker_gwbridge", options["com.docker.network.bridge.name"])
        networks.ensure_gateway(self.docker, 1450)
        self.assertEqual(1, len(self._changes()))

    def test_gateway_of_another_mtu(self):
        """A docker_gwbridge of the image with another MTU is made anew."""
        self.engine.networks["docker_gwbridge"] = {"Options": None}
        networks.ensure_gateway(self.docker, 1450)
        self.assertEqual(
            ["DELETE /v1.41/networks/docker_gwbridge", "POST /v1.41/networks/create"],
            self._changes(),
        )

    def test_ingress(self):
        """The ingress network is replaced when its MTU differs, and made when it is missing."""
        self.engine.networks["ingress"] = {"Options": {}}
        networks.ensure_ingress(self.docker, 1450)
        made = self.engine.networks["ingress"]
        self.assertEqual(
            (True, "overlay", {MTU: "1450"}), (made["Ingress"], made["Driver"], made["Options"])
        )
        networks.ensure_ingress(self.docker, 1450)
        self.assertEqual(2, len(self._changes()))

    def test_ingress_with_the_usual_mtu(self):
        """With 1500 bytes nothing needs to be done."""
        self.engine.networks["ingress"] = {"Options": {}}
        networks.ensure_ingress(self.docker, 1500)
        self.assertEqual([], self._changes())
