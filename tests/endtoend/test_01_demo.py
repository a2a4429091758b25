# SPDX-License-Identifier: Apache-2.0
from devcloud import readiness, settings
from devcloud.demo import steps
from tests.endtoend import base, shared
from tests.endtoend.docker import Docker, exports, roles, whole


class TestDemo(base.EndToEndTestCase):
    """``tools/demo`` leaves a swarm of 3 managers and 8 workers."""

    def setUp(self) -> None:
        super().setUp()
        shared.before_everything()
        self.swarm = shared.demonstration()

    def test_shows_what_it_does(self) -> None:
        """The two commands appear as they are, then progress, then how to connect and remove."""
        printed = shared.demonstration_output()
        expected = [
            f"$ {steps.CREATE_TEMPLATE}\n",
            f"$ {steps.CREATE_CLUSTER}\n",
            "workers 8/8",
            "docker node ls",
            "magnum-conductor",
            "Connect from any shell",
            "Remove the cluster only",
            "Remove everything",
        ]
        positions = [printed.find(text) for text in expected]
        self.assertNotIn(-1, positions, printed)
        self.assertEqual(sorted(positions), positions, printed)

    def test_second_shell(self) -> None:
        """A shell with nothing but the files that the commands wrote sees 11 nodes Ready."""
        for words in (
            ("openstack", "coe", "cluster", "config", steps.CLUSTER, "--output-certs"),
            ("magnum", "cluster-config", steps.CLUSTER),
        ):
            directory = self.temporary_directory()
            printed = self.demo.run(*words, "--dir", str(directory))
            self.assertEqual(
                {"ca.pem", "cert.pem", "key.pem"}, {one.name for one in directory.iterdir()}
            )
            docker = Docker(exports(printed))
            self.assertEqual(
                {"DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}, set(docker.variables)
            )
            self.assertEqual(whole(3, 8), roles(docker.nodes()))

    def test_again(self) -> None:
        """Run again it uses what is there, and says so."""
        printed = shared.run_demo()
        self.assertIn(f"The cluster template {steps.TEMPLATE} is there already", printed)
        self.assertIn(f"The cluster {steps.CLUSTER} is there already", printed)
        self.assertNotIn("magnum cluster-create", printed)
        self.assertIn("Connect from any shell", printed)

    def test_horizon(self) -> None:
        """With Horizon it ends with where that is, and how to log in."""
        printed = shared.run_demo("--horizon")
        self.assertIn("tools/devcloud up --horizon\n", printed)
        login = f"    {settings.HORIZON_URL}\n    user demo, password demo\n"
        self.assertTrue(printed.rstrip("\n").endswith(login.rstrip("\n")), printed[-500:])
        self.assertTrue(readiness.answers(f"{settings.HORIZON_URL}auth/login/"))
