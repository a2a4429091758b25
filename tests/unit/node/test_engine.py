# SPDX-License-Identifier: Apache-2.0
import ipaddress
import json

from oslotest import base

from magnum_swarm_mode.node.base import docker
from magnum_swarm_mode.node.base.errors import NodeError
from magnum_swarm_mode.node.duties import engine
from tests.unit.node import fakes


def networks(*texts):
    return [ipaddress.IPv4Network(text) for text in texts]


class NetworksInTest(base.BaseTestCase):
    def test_everything_that_is_one(self):
        """Addresses and networks are found in any text; a default route is none."""
        text = 'default via 10.0.0.1\n"10.88.0.0/16" 0.0.0.0/0 x1.2.3.4.5 nameserver 8.8.8.8'
        self.assertEqual(
            networks("10.0.0.1/32", "10.88.0.0/16", "8.8.8.8/32"), engine.networks_in(text)
        )

    def test_host_bits_and_rubbish(self):
        """Host bits do no harm; numbers that are no address are passed over."""
        self.assertEqual(networks("10.0.0.0/24"), engine.networks_in("10.0.0.5/24 999.1.1.1/24"))


class FreePoolTest(base.BaseTestCase):
    def test_nothing_taken(self):
        """The range that Docker itself prefers comes first."""
        self.assertEqual("172.17.0.0/16", str(engine.free_pool([])))

    def test_endpoint_in_the_way(self):
        """A range that holds so much as one address in use is passed over."""
        taken = networks("172.17.4.1/32", "172.18.0.0/15")
        self.assertEqual("172.20.0.0/16", str(engine.free_pool(taken)))

    def test_further_ranges(self):
        """After 172 comes 192.168, then 10."""
        self.assertEqual("192.168.0.0/16", str(engine.free_pool(networks("172.16.0.0/12"))))
        taken = networks("172.16.0.0/12", "192.168.7.0/24", "10.0.0.0/24")
        self.assertEqual("10.1.0.0/16", str(engine.free_pool(taken)))

    def test_all_taken(self):
        """Without a free range there is an error instead of an overlap."""
        taken = networks("172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8")
        self.assertRaises(NodeError, engine.free_pool, taken)


class DaemonJsonTest(base.BaseTestCase):
    def _json(self, version=20, taken=(), existing=None, **changes):
        config = fakes.parse_config(**changes)
        return engine.daemon_json(config, version, list(taken), existing or {})

    def test_old_engine(self):
        """Engine 20.10 gets no default-network-opts, with which it would not start."""
        settings = self._json()
        self.assertNotIn("default-network-opts", settings)
        self.assertEqual(1450, settings["mtu"])
        self.assertEqual("172.17.0.1/24", settings["bip"])
        self.assertEqual([{"base": "172.17.0.0/16", "size": 24}], settings["default-address-pools"])

    def test_new_engine(self):
        """Engines from 24 on get the MTU of all networks."""
        option = {"com.docker.network.driver.mtu": "1450"}
        for version in (24, 26, 29):
            self.assertEqual(
                {"bridge": option, "overlay": option}, self._json(version)["default-network-opts"]
            )

    def test_settings_of_the_image(self):
        """What an image brings along stays, unless it opens the engine or is ours to say."""
        existing = {
            "registry-mirrors": ["https://m"],
            "hosts": ["tcp://0.0.0.0:2375"],
            "tlsverify": False,
            "live-restore": True,
            "mtu": 9000,
        }
        settings = self._json(existing=existing)
        self.assertEqual(["https://m"], settings["registry-mirrors"])
        self.assertEqual(1450, settings["mtu"])
        for key in ("hosts", "tlsverify", "live-restore"):
            self.assertNotIn(key, settings)

    def test_pool_stays(self):
        """The pool chosen at first stays, whatever is in the way later."""
        first = self._json()
        self.assertEqual(first, self._json(taken=networks("172.17.0.0/16"), existing=first))

    def test_downgraded_engine(self):
        """Options that a newer engine had are not left to an older one."""
        self.assertNotIn("default-network-opts", self._json(20, existing=self._json(26)))

    def test_values_of_the_configuration(self):
        """Whatever the control side wants in daemon.json gets there, over what the image has."""
        wanted = {"storage-driver": "btrfs", "log-opts": {"max-size": "1m"}, "dns": ["9.9.9.9"]}
        settings = self._json(engine={"daemon": wanted}, existing={"log-opts": {"tag": "x"}})
        self.assertEqual(wanted, {name: settings[name] for name in wanted})


class ProxyUnitTest(base.BaseTestCase):
    def test_quoting_and_exceptions(self):
        """Proxies are quoted for systemd, and the nodes themselves are never behind one."""
        section = {"http_proxy": 'http://u:p%40"x@proxy:3128', "no_proxy": ".example.org"}
        text = engine.proxy_unit(fakes.parse_config(engine=section), "10.0.0.0/24 dev eth0")
        self.assertEqual(
            "[Service]\n"
            'Environment="HTTP_PROXY=http://u:p%%40\\"x@proxy:3128"\n'
            'Environment="HTTPS_PROXY="\n'
            'Environment="NO_PROXY=.example.org,localhost,127.0.0.1,10.0.0.0/24,'
            '127.0.0.11,127.0.0.12,127.0.0.13"\n',
            text,
        )


class ConfigureTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.programs = self.useFixture(fakes.Programs())
        self.programs.add("dockerd", 'echo "Docker version 20.10.24+dfsg1, build 297e128"')
        self.programs.add("ip", 'echo "172.17.0.0/24 dev docker0"; echo "172.18.0.0/24 dev eth0"')
        self.programs.add("systemctl")
        self.node = self.make_node(fakes.config_json())
        self.drop_in = self.paths.units / "docker.service.d/20-magnum-swarm-mode-proxy.conf"

    def _configure(self, **changes):
        self.node = self.make_node(fakes.config_json(**changes))
        return engine.configure(self.node.config, self.paths)

    def test_twice(self):
        """The first run writes, the second changes nothing."""
        (self.paths.root / "etc/resolv.conf").write_text("nameserver 172.19.0.53\n")
        self.assertTrue(self._configure())
        settings = json.loads(self.paths.daemon.read_text())
        # Docker's own bridge is no obstacle, the own network is.
        self.assertEqual("172.17.0.1/24", settings["bip"])
        self.assertFalse(self._configure())
        self.assertNotIn("systemctl daemon-reload", self.programs.calls())

    def test_nothing_overlaps(self):
        """Routes, name servers, endpoints and the swarm's pool are kept free."""
        (self.paths.root / "etc/resolv.conf").write_text("nameserver 172.17.0.53\n")
        openstack = {**fakes.config_json()["openstack"], "magnum_url": "http://172.19.0.9:9511/v1"}
        self._configure(openstack=openstack, swarm={"address_pool": "172.20.0.0/16"})
        self.assertEqual("172.21.0.1/24", json.loads(self.paths.daemon.read_text())["bip"])

    def test_proxies_come_and_go(self):
        """The drop-in is there as long as there is a proxy, and systemd learns of it."""
        self.assertTrue(self._configure(engine={"http_proxy": "http://127.0.0.1:3128"}))
        self.assertEqual(0o600, self.drop_in.stat().st_mode & 0o777)
        self.assertTrue(self._configure())
        self.assertFalse(self.drop_in.exists())
        self.assertEqual(2, self.programs.calls().count("systemctl daemon-reload"))

    def test_bad_json_of_the_image(self):
        """A daemon.json that does not parse is named."""
        self.paths.daemon.parent.mkdir()
        self.paths.daemon.write_text("{")
        self.assertIn("daemon.json", str(self.assertRaises(NodeError, self._configure)))

    def test_unknown_version(self):
        """An engine that tells no version is not configured by guess."""
        self.programs.add("dockerd", "echo hello")
        self.assertIn("hello", str(self.assertRaises(NodeError, self._configure)))


class StartTest(fakes.NodeTest):
    def setUp(self):
        super().setUp()
        self.programs = self.useFixture(fakes.Programs())
        self.docker = docker.Docker(socket_path=self.paths.docker_socket)

    def test_start(self):
        """The engine's version tells that it answers."""
        self.programs.add("systemctl")
        self.useFixture(fakes.Engine(self.paths.docker_socket))
        self.assertEqual("20.10.24", engine.start(self.docker))

    def test_last_words(self):
        """An engine that does not start is quoted, not systemd, which knows no reason."""
        self.programs.add("journalctl", "echo failed to start daemon: no space left on device")
        self.assertIn("last seen: failed to start daemon: no space left", self._failure())
        self.assertNotIn("Job failed", self._failure())
        journal = "journalctl -u docker.service -t dockerd -n 1 -o cat"
        self.assertIn(journal, self.programs.calls())

    def test_no_words(self):
        """Of an engine that could not even say why, systemd's word is all there is."""
        self.programs.add("journalctl")
        self.assertIn("Job failed", self._failure())

    def _failure(self):
        self.programs.add("systemctl", "echo Job failed >&2; exit 1")
        self.addCleanup(setattr, engine, "START_TIMEOUT", engine.START_TIMEOUT)
        engine.START_TIMEOUT = 0
        return str(self.assertRaises(NodeError, engine.start, self.docker))
