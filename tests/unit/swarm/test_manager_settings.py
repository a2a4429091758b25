# SPDX-License-Identifier: Apache-2.0
import base64
import json

from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.swarm import client as swarm_client
from magnum_swarm_mode.swarm import manager_settings, transport
from tests.fakes import certificates
from tests.fakes import docker as fake_docker


def config(name, told, cluster="own"):
    """Return a config as the Docker API shows it."""
    data = base64.b64encode(told if isinstance(told, bytes) else json.dumps(told).encode())
    return {
        "ID": name,
        "Spec": {
            "Name": name,
            "Data": data.decode(),
            "Labels": {manager_settings.CLUSTER: cluster},
        },
    }


def manager(name, generation=None, reachability="reachable", **more):
    """Return a manager as GET /nodes shows it."""
    node = fake_docker.node(name, manager=reachability, **more)
    if generation is not None:
        node["Spec"]["Labels"] = {manager_settings.LABEL: str(generation)}
    return node


class TestTelling(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        authority = certificates.Authority()
        pair = authority.client()
        self.docker = self.useFixture(
            fake_docker.FakeDocker(authority.pem, authority.server("127.0.0.1"))
        )
        identity = transport.Identity(authority.pem, pair.certificate, pair.key)
        self.swarm = swarm_client.Swarm(
            ["127.0.0.1"], identity, 2.0, self.docker.port, cluster="own"
        )
        self.addCleanup(self.swarm.close)
        self.configs = self.docker.answers["/configs"][1]

    def test_before_anything_was_told(self):
        """A swarm whose managers were told nothing since their boot has generation 0."""
        self.configs.append(config("magnum-swarm-mode.join.abc", {}))
        self.assertEqual(manager_settings.Settings(), manager_settings.newest(self.swarm))

    def test_what_is_told_adds_up(self):
        """A change of one thing leaves what was told of another; numbers count on."""
        self.assertEqual(
            1, manager_settings.tell(self.swarm, {"ca_certificate": "A", "api": {"x": 1}})
        )
        self.assertEqual(
            2, manager_settings.tell(self.swarm, manager_settings.credential("id", "hush"))
        )
        self.assertEqual(3, manager_settings.tell(self.swarm, {"api": {"y": 2}}))

        now = manager_settings.newest(self.swarm)
        self.assertEqual(3, now.generation)
        self.assertEqual(
            {
                "ca_certificate": "A",
                "api": {"x": 1, "y": 2},
                "openstack": {
                    "application_credential_id": "id",
                    "application_credential_secret": "hush",
                },
            },
            now.told,
        )
        self.assertNotIn("hush", repr(now))

    def test_telling_the_same_again_changes_nothing(self):
        """A conductor that comes after one that died finds the settings there."""
        manager_settings.tell(self.swarm, {"ca_certificate": "A"})
        self.assertEqual(1, manager_settings.tell(self.swarm, {"ca_certificate": "A"}))
        self.assertEqual(1, len(self.configs))

    def test_somebody_else_was_quicker(self):
        """Two that tell different things at once do not overwrite each other."""
        self.docker.meanwhile = lambda: self.configs.append(
            config("magnum-swarm-mode.settings.1", {"ca_certificate": "B"})
        )
        self.assertEqual(2, manager_settings.tell(self.swarm, {"api": {"x": 1}}))
        self.assertEqual(
            {"ca_certificate": "B", "api": {"x": 1}}, manager_settings.newest(self.swarm).told
        )

    def test_cleaning_up_leaves_the_newest(self):
        """Old settings go; managers that are still to come need the newest."""
        for number in range(9, 12):
            self.configs.append(config(f"magnum-swarm-mode.settings.{number}", {"n": number}))
        self.configs.append(config("magnum-swarm-mode.settings.mine", {}))
        manager_settings.clean_up(self.swarm)
        self.assertEqual(
            ["magnum-swarm-mode.settings.11", "magnum-swarm-mode.settings.mine"],
            [one["Spec"]["Name"] for one in self.configs],
        )
        self.assertEqual(
            manager_settings.Settings(11, {"n": 11}), manager_settings.newest(self.swarm)
        )

    def test_of_another_cluster(self):
        """What a backup brought along from another cluster does not count, nor stand in the way."""
        self.configs.append(config("magnum-swarm-mode.settings.1", {"ca_certificate": "B"}, "b"))
        self.assertEqual(manager_settings.Settings(), manager_settings.newest(self.swarm))
        self.assertEqual(2, manager_settings.tell(self.swarm, {"api": {"x": 1}}))
        self.assertEqual({"api": {"x": 1}}, manager_settings.newest(self.swarm).told)
        manager_settings.clean_up(self.swarm)
        self.assertEqual(2, len(self.configs))

    def test_only_the_newest_is_read(self):
        """Earlier settings are not decoded, in any order of the list."""
        self.configs.append(config("magnum-swarm-mode.settings.1", b"no JSON"))
        self.configs.append(config("magnum-swarm-mode.settings.10", {"api": {"x": 1}}))
        self.configs.append(config("magnum-swarm-mode.settings.9", b"no JSON"))
        self.assertEqual(
            manager_settings.Settings(10, {"api": {"x": 1}}), manager_settings.newest(self.swarm)
        )

    def test_settings_that_mean_nothing(self):
        """A user's config in the place of ours is named."""
        self.configs.append(config("magnum-swarm-mode.settings.1", b"no JSON"))
        error = self.assertRaises(exceptions.Inconsistent, manager_settings.newest, self.swarm)
        self.assertIn("magnum-swarm-mode.settings.1", error.user_message)


class TestWaiting(base.BaseTestCase):
    def test_living_managers_are_waited_for(self):
        """Those that are down, or no managers, are not."""
        nodes = [
            manager("a", 2),
            manager("b", 1),
            manager("c"),
            manager("d", 1, reachability="unreachable", state="down"),
            manager("e", 1, state="down"),
            fake_docker.node("worker"),
        ]
        self.assertEqual(["b", "c"], manager_settings.waiting(nodes, 2))
        self.assertEqual(["d", "e"], manager_settings.away(nodes))
        self.assertEqual(["c"], manager_settings.deaf(nodes))
