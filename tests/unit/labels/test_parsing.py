# SPDX-License-Identifier: Apache-2.0
import dataclasses
import ipaddress

from hypothesis import assume, given
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_config import fixture as config_fixture
from oslotest import base

from magnum_swarm_mode import conf, exceptions
from magnum_swarm_mode.labels import address_pools
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import node_group
from tests.unit.admission.properties import PROPERTY

NAMES = st.sampled_from(list(label_table.DECLARATIONS))
ANYTHING = st.one_of(st.text(), st.integers(), st.booleans(), st.floats())


class ParseTest(base.BaseTestCase):
    def refused(self, **values):
        return str(self.assertRaises(exceptions.Refused, label_parsing.parse, values))

    def test_nothing_given(self):
        """Without labels every value is the built-in default."""
        self.assertEqual(label_table.Labels(), label_parsing.parse(None))
        self.assertEqual(label_table.Labels(), label_parsing.parse({}))

    def test_values_are_typed(self):
        """Text becomes values of the declared types."""
        self.assertEqual(
            label_table.Labels(
                swarm_address_pool="10.1.0.0/16",
                swarm_address_pool_mask=26,
                data_path_port=5000,
                api_allowed_cidrs=("192.0.2.0/24", "198.51.100.7/32"),
                ssh_allowed_cidrs=("203.0.113.0/24",),
                worker_floating_ip_enabled=True,
                manager_availability="drain",
                join_timeout=60,
                availability_zone="nova",
            ),
            label_parsing.parse(
                {
                    "swarm_address_pool": " 10.1.0.0/16",
                    "swarm_address_pool_mask": "26",
                    "data_path_port": "5000",
                    "api_allowed_cidrs": "192.0.2.0/24,198.51.100.7",
                    "ssh_allowed_cidrs": "203.0.113.0/24",
                    "worker_floating_ip_enabled": "True",
                    "manager_availability": "drain",
                    "join_timeout": "60",
                    "availability_zone": "nova",
                }
            ),
        )

    def test_labels_of_other_engines(self):
        """Labels that Horizon's panel sends for every engine count as left out, unless they ask."""
        names = ("auto_scaling_enabled", "master_lb_floating_ip_enabled", "ingress_controller")
        for name in (*names, "api_master_lb_allowed_cidrs"):
            for value in (False, "False", "false ", ""):
                with self.subTest(name=name, value=value):
                    self.assertEqual(label_table.Labels(), label_parsing.parse({name: value}))
            self.assertIn(f"Label {name} is not offered: ", self.refused(**{name: "true"}))
        self.assertIn("resized to", self.refused(auto_scaling_enabled=True))

    def test_labels_of_other_engines_in_a_node_group(self):
        """A node group takes such labels over from its cluster."""
        labels = {"auto_scaling_enabled": False, "log_driver": "local"}
        values = node_group.check_labels({**labels, "availability_zone": "a"}, labels, None)
        self.assertEqual(("local", "a"), (values.log_driver, values.availability_zone))

    def test_json_values(self):
        """Magnum's API also takes numbers and booleans."""
        parsed = label_parsing.parse({"data_path_port": 5000, "worker_floating_ip_enabled": True})
        self.assertEqual((5000, True), (parsed.data_path_port, parsed.worker_floating_ip_enabled))

    def test_list_separators(self):
        """Networks are separated by commas or spaces, and named once."""
        self.assertEqual(
            ("10.0.0.0/8", "192.0.2.0/24"),
            label_parsing.parse(
                {"ssh_allowed_cidrs": " 10.0.0.0/8, 192.0.2.0/24 10.0.0.0/8 "}
            ).ssh_allowed_cidrs,
        )

    def test_unknown_label_names_the_nearest(self):
        """A misspelt label is refused with the name that was probably meant."""
        self.assertEqual(
            "Label swarm_adress_pool is not known to swarm-mode clusters; did you mean "
            "swarm_address_pool?",
            self.refused(swarm_adress_pool="10.1.0.0/16"),
        )

    def test_unknown_label_lists_all(self):
        """A label that resembles none is refused with all that are known."""
        message = self.refused(kube_tag="v1.30")
        for name in label_table.DECLARATIONS:
            self.assertIn(name, message)

    def test_bad_values_name_label_value_and_expectation(self):
        """A bad value is refused with its label and what is expected."""
        for name, value, expectation in (
            ("data_path_port", "80", "an integer from 1024 to 49151"),
            ("data_path_port", "x", "an integer from 1024 to 49151"),
            ("swarm_address_pool_mask", "30", "an integer from 9 to 29"),
            ("swarm_address_pool", "10.0.0.1/8", "an IPv4 network without host bits"),
            ("swarm_address_pool", "fd00::/64", "an IPv4 network without host bits"),
            ("api_allowed_cidrs", "", "at least one IPv4 network"),
            ("ssh_allowed_cidrs", "10.0.0.0/8,everyone", "IPv4 networks"),
            ("worker_floating_ip_enabled", "perhaps", "true or false"),
            ("manager_availability", "pause", "active or drain"),
            ("join_timeout", "59", "an integer from 60 to 43200 seconds"),
            ("join_timeout", "1.5", "an integer from 60 to 43200 seconds"),
            ("availability_zone", "nova:host", "printable characters without colons"),
        ):
            with self.subTest(name=name, value=value):
                message = self.refused(**{name: value})
                self.assertIn(f"Label {name}={value} is not valid; expected ", message)
                self.assertIn(expectation, message)

    def test_gossip_port(self):
        """The port of the nodes' gossip cannot carry the overlay networks as well."""
        self.assertIn("data_path_port=7946", self.refused(data_path_port="7946"))

    def test_pool_smaller_than_its_networks(self):
        """A pool must hold several of the networks that are cut from it."""
        self.assertIn(
            "swarm_address_pool=10.1.0.0/24 is too small",
            self.refused(swarm_address_pool="10.1.0.0/24"),
        )

    def test_published_ports(self):
        """Ports come with their protocol; those that the nodes need themselves are refused."""
        self.assertEqual(
            ("80/tcp", "8000-8010/tcp", "53/udp"),
            label_parsing.parse({"published_ports": "80, 8000-8010/tcp 53/udp 80"}).published_ports,
        )
        for text, held in (
            ("22", "22/tcp"),
            ("2300-2400", "2374/tcp"),
            ("2375-2400", "2376/tcp"),
            ("1-65535/udp", "7946/udp"),
            ("4789/udp", "4789/udp"),
        ):
            self.assertIn(f"holds {held}, which", self.refused(published_ports=text))
        label_parsing.parse({"published_ports": "4789/udp", "data_path_port": "4790"})
        for text in ("0", "65536", "9-8", "80/icmp", "http", "-1", "1--2"):
            self.assertIn("published_ports", self.refused(published_ports=text))

    def test_logs(self):
        """An address needs a driver that sends, and such a driver an address."""
        self.assertIn("log_address=udp://a:1", self.refused(log_address="udp://a:1"))
        self.assertIn("set log_address", self.refused(log_driver="gelf"))
        self.assertIn(
            "speaks tcp only", self.refused(log_driver="fluentd", log_address="udp://a:1")
        )
        label_parsing.parse({"log_driver": "syslog"})
        label_parsing.parse({"log_driver": "gelf", "log_address": "udp://192.0.2.1:12201"})
        self.assertIn("json-file, local", self.refused(log_driver="awslogs"))

    def test_repositories(self):
        """A key needs a repository, and one without TLS a key that comes with it."""
        key = "https://mirror.example.com/gpg"
        self.assertIn("docker_repository_key", self.refused(docker_repository_key=key))
        self.assertIn(
            "needs docker_repository_key", self.refused(docker_repository="http://m.example.com")
        )
        parsed = label_parsing.parse(
            {"docker_repository": "http://m.example.com/d/", "docker_repository_key": key}
        )
        self.assertEqual("http://m.example.com/d", parsed.docker_repository)

    def test_boot_volumes(self):
        """A type alone makes no volume."""
        self.assertIn("boot_volume_size", self.refused(boot_volume_type="fast"))

    def test_numbers_that_may_be_nothing(self):
        """Zero stands for none; what lies between it and the least is refused."""
        self.assertEqual(0, label_parsing.parse({"network_mtu": "0"}).network_mtu)
        self.assertIn("0 or an integer from 1280", self.refused(network_mtu="1279"))

    @PROPERTY
    @given(st.dictionaries(st.one_of(NAMES, st.text()), ANYTHING))
    def test_any_input_is_parsed_or_refused(self, values):
        """Whatever is given, the result is typed values or one printable line."""
        try:
            parsed = label_parsing.parse(values)
        except exceptions.Refused as refusal:
            self.assertTrue(str(refusal).isprintable(), str(refusal))
            return
        self.assertLessEqual(set(values), set(label_table.DECLARATIONS))
        for field in dataclasses.fields(parsed):
            self.assertIsInstance(getattr(parsed, field.name), type(field.default))

    @PROPERTY
    @given(st.integers(2**24, 224 * 2**24 - 1), st.integers(8, 22))
    def test_valid_pools_survive(self, address, prefix):
        """Every IPv4 network that is large enough is taken as it is, but for special ranges."""
        pool = str(ipaddress.IPv4Network((address, prefix), strict=False))
        assume(not address_pools.overlapping(pool, address_pools.SPECIAL_RANGES))
        self.assertEqual(pool, label_parsing.parse({"swarm_address_pool": pool}).swarm_address_pool)

    @PROPERTY
    @given(NAMES, ANYTHING)
    def test_parsing_again_changes_nothing(self, name, value):
        """A value that was parsed means the same when it is parsed from its text."""
        try:
            first = label_parsing.parse({name: value})
        except exceptions.Refused:
            return
        parsed = getattr(first, name)
        text = ",".join(parsed) if isinstance(parsed, tuple) else str(parsed)
        self.assertEqual(first, label_parsing.parse({name: text}))


class OperatorDefaultsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.config = cfg.ConfigOpts()
        conf.register_opts(self.config)
        self.fixture = self.useFixture(config_fixture.Config(self.config))
        self.config([], default_config_files=[])

    def parse(self, **values):
        return label_parsing.parse(values, self.config.swarm_mode)

    def test_same_as_built_in(self):
        """An untouched configuration gives the built-in defaults."""
        self.assertEqual(label_table.Labels(), self.parse())

    def test_default_is_used(self):
        """An operator's default holds where the cluster says nothing."""
        self.fixture.config(group="swarm_mode", join_timeout=300)
        self.assertEqual(300, self.parse().join_timeout)
        self.assertEqual(400, self.parse(join_timeout="400").join_timeout)

    def test_conductor_is_always_allowed(self):
        """Narrowing the API's networks never shuts out the conductor."""
        self.fixture.config(group="swarm_mode", conductor_cidrs=["198.51.100.0/24"])
        self.assertEqual(
            ("192.0.2.0/24", "198.51.100.0/24"),
            self.parse(api_allowed_cidrs="192.0.2.0/24").api_allowed_cidrs,
        )

    def test_every_label_has_an_option(self):
        """Each label can be given a default, and its help says what it does."""
        options = {option.name: option for _, group in conf.list_opts() for option in group}
        for name, declaration in label_table.DECLARATIONS.items():
            self.assertIn(declaration.help, str(options[name].help))

    def test_bad_default_in_file(self):
        """A default that is no valid value is reported when it is read."""
        path = self.create_tempfiles([("magnum", "[swarm_mode]\njoin_timeout = 5\n")])[0]
        self.config([], default_config_files=[path])
        self.assertRaises(cfg.ConfigFileValueError, self.parse)

    def test_defaults_in_file(self):
        """Defaults are written in the file as labels are."""
        path = self.create_tempfiles(
            [
                (
                    "magnum",
                    "[swarm_mode]\napi_allowed_cidrs = 192.0.2.0/24, 10.0.0.0/8\n"
                    "worker_floating_ip_enabled = true\naddress_pools = 10.9.0.0/16\n",
                )
            ]
        )[0]
        self.config([], default_config_files=[path])
        parsed = self.parse()
        self.assertEqual(("192.0.2.0/24", "10.0.0.0/8"), parsed.api_allowed_cidrs)
        self.assertIs(True, parsed.worker_floating_ip_enabled)
        self.assertEqual(["10.9.0.0/16"], self.config.swarm_mode.address_pools)
