# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from benchmarks.scaled.docker import Docker
from magnum_swarm_mode.swarm import identity


class TestDocker(base.BaseTestCase):
    def test_recognized(self) -> None:
        """The driver recognizes each node that joined by the address of its server."""
        addresses = {"a-manager-0": "10.0.0.5", "a-worker-0": "10.0.1.7"}
        docker = Docker()
        for name, address in addresses.items():
            docker.join(name, name.split("-")[1], address)
        nodes = list(docker.nodes.values())
        found = identity.certain(identity.identify(nodes, {}, addresses))
        self.assertEqual(sorted(addresses), sorted(found.values()))
