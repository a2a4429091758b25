# SPDX-License-Identifier: Apache-2.0
"""From Magnum's objects to what Heat is asked for."""

import types
from typing import Any

import yaml
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.labels import table as label_table
from magnum_swarm_mode.stack import request as stack_request
from tests.unit.stack import samples


def build(**changes: Any) -> stack_request.StackRequest:
    """Return the request of a usual cluster with changes."""
    return stack_request.build(samples.inputs(**changes))


class TestNodeNamePrefix(base.BaseTestCase):
    def _prefix(self, name: str) -> str:
        return stack_request.node_name_prefix(name, samples.UUID)

    def test_a_plain_name_stays(self):
        """Nodes bear the cluster's name."""
        self.assertEqual("swarm-mode-cluster", self._prefix("swarm-mode-cluster"))

    def test_what_magnum_allows_beside_host_names_becomes_a_dash(self):
        """Underscores, dots and ends that a host name may not have are replaced."""
        self.assertEqual("a-b-c", self._prefix("a_b.c-"))
        self.assertEqual("big-swarm", self._prefix("Big Swarm"))

    def test_a_name_of_which_something_is_lost_gets_the_uuid(self):
        """Clusters whose names differ only in what is lost stay apart."""
        self.assertEqual("swarm-1d774e36", self._prefix("集群"))
        self.assertEqual("caf-1d774e36", self._prefix("caf集"))
        self.assertEqual("cafe", self._prefix("Café"))
        self.assertEqual("a-reboot-1d774e36", self._prefix("a; $(reboot)\n"))

    def test_the_longest_name_leaves_room_for_role_and_index(self):
        """No host name of a node gets longer than 63 characters."""
        for name in ("x" * 242, "x" * 41 + "-" * 20, "ab-" * 80):
            prefix = self._prefix(name)
            self.assertRegex(f"{prefix}-manager-9999", r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
        self.assertEqual("x" * 41 + "-1d774e36", self._prefix("x" * 242))


class TestBuild(base.BaseTestCase):
    def test_parameters_are_those_of_the_template(self):
        """Every parameter without a default gets a value, and no other is sent."""
        request = build()
        declared = yaml.safe_load(request.template)["parameters"]
        given = set(request.parameters) | set(request.environment["parameter_defaults"])
        self.assertEqual(
            {name for name, schema in declared.items() if "default" not in schema} - given, set()
        )
        self.assertEqual(set(), given - set(declared))

    def test_files_are_those_that_the_environment_names(self):
        """Heat gets the variants it needs and no others."""
        request = build(docker_volume_size=5, fixed_network=samples.EXISTING)
        self.assertEqual(
            {
                "node_group.yaml",
                "network_existing.yaml",
                "manager_port_floating.yaml",
                "manager_volume.yaml",
                "worker_volume.yaml",
                "user_data/manager.yaml",
                "user_data/worker.yaml",
            },
            set(request.files),
        )

    def test_a_worker_is_a_bare_server_unless_it_needs_more(self):
        """The variant of the workers follows from what they need of their own."""
        for volume, floating, expected in (
            (0, False, "OS::Nova::Server"),
            (5, False, "worker_volume.yaml"),
            (0, True, "worker_floating.yaml"),
            (5, True, "worker_volume_floating.yaml"),
        ):
            request = build(docker_volume_size=volume, worker_floating_ip_enabled=floating)
            registry = request.environment["resource_registry"]
            self.assertEqual(expected, registry["Magnum::SwarmMode::Worker"])

    def test_managers_without_floating_ips(self):
        """Managers have floating IPs only where they are wanted."""
        registry = build(floating_ip_enabled=False).environment["resource_registry"]
        self.assertEqual("manager_port.yaml", registry["Magnum::SwarmMode::ManagerPort"])

    def test_an_existing_network_is_used(self):
        """Ids, range and MTU of the network that was found reach the template."""
        parameters = build(fixed_network=samples.EXISTING).parameters
        self.assertEqual(
            ["7a5b2a6e", "0b2f1c3d", 1450, "10.0.0.0/24"],
            [
                parameters[name]
                for name in (
                    "fixed_network",
                    "fixed_subnet",
                    "fixed_network_mtu",
                    "fixed_subnet_cidr",
                )
            ],
        )

    def test_name_servers_reach_the_subnet_or_the_engines(self):
        """A made subnet gets them; where it is another's, the engines do."""
        self.assertNotIn("dns", build().parameters["engine"]["daemon"])
        parameters = build(fixed_network=samples.EXISTING).parameters
        self.assertEqual(["8.8.8.8"], parameters["engine"]["daemon"]["dns"])

    def test_signals_are_the_counts_at_creation(self):
        """As many nodes must report as are made."""
        parameters = build(manager_count=5, worker_count=0).parameters
        self.assertEqual(5, parameters["manager_signals"])
        self.assertEqual(0, parameters["worker_signals"])

    def test_nodes_have_until_shortly_before_the_stack_gives_up(self):
        """The wait conditions end first, for they know who did not report."""
        for minutes, seconds in ((60, 3570), (1, 30), (0, 3570), (10000, 43170)):
            parameters = build(timeout_minutes=minutes).parameters
            self.assertEqual(seconds, parameters["create_timeout"])

    def test_nodes_give_up_before_heat_does(self):
        """A node that waits as long as Heat could never say what it waited for."""
        for minutes, wanted, seconds in (
            (60, 1200, 1200),
            (60, 60, 60),
            (60, 43200, 3000),
            (10, 1200, 300),
            (0, 43200, 3000),
        ):
            parameters = build(timeout_minutes=minutes, join_timeout=wanted).parameters
            self.assertEqual(seconds, parameters["join_timeout"])

    def test_where_logs_are_sent(self):
        """Each driver that sends logs away gets the address under a name of its own."""
        for driver in ("syslog", "gelf", "fluentd"):
            address = "tcp://logs.example.com:24224"
            daemon = build(log_driver=driver, log_address=address).parameters["engine"]["daemon"]
            self.assertEqual({f"{driver}-address": address}, daemon["log-opts"])
        daemon = build(log_driver="journald").parameters["engine"]["daemon"]
        self.assertNotIn("log-opts", daemon)

    def test_published_ports_become_rules(self):
        """Each range is opened to each network, and to nothing else."""
        rules = build(
            published_ports=("53/udp", "8000-8010/tcp"),
            published_ports_allowed_cidrs=("192.0.2.0/24", "198.51.100.0/24"),
        ).parameters["published_rules"]
        self.assertEqual(
            [
                ("udp", 53, 53, "192.0.2.0/24"),
                ("udp", 53, 53, "198.51.100.0/24"),
                ("tcp", 8000, 8010, "192.0.2.0/24"),
                ("tcp", 8000, 8010, "198.51.100.0/24"),
            ],
            [tuple(rule.values()) for rule in rules],
        )

    def test_an_mtu_that_the_network_does_not_carry(self):
        """An override above the existing network's MTU is refused with both numbers."""
        changes = {"fixed_network": samples.EXISTING, "network_mtu": 1451}
        error = self.assertRaises(exceptions.Refused, build, **changes)
        self.assertIn("network_mtu=1451", str(error))
        self.assertIn("1450 bytes", str(error))
        build(**{**changes, "network_mtu": 1450})

    def test_floating_ips_need_an_external_network(self):
        """What cannot be is refused before Heat sees it, naming the fields."""
        error = self.assertRaises(exceptions.Refused, build, external_network="")
        self.assertIn("floating_ip_enabled", str(error))
        self.assertIn("external_network_id", str(error))
        error = self.assertRaises(
            exceptions.Refused, build, external_network="", floating_ip_enabled=False
        )
        self.assertIn("no fixed_network", str(error))
        build(external_network="", floating_ip_enabled=False, fixed_network=samples.EXISTING)

    def test_control_characters_are_refused(self):
        """What no YAML reader takes does not get into user-data."""
        for name, value in (
            ("cluster_name", "a\x7fb"),
            ("http_proxy", "http://a\nruncmd: [reboot]"),
            ("insecure_registries", ("good", "b\x00d")),
        ):
            error = self.assertRaises(exceptions.Refused, build, **{name: value})
            self.assertIn(name, str(error))

    def test_the_index_of_groups_is_refused(self):
        """What Heat would replace in members is refused; the name of a cluster is not in them."""
        error = self.assertRaises(exceptions.Refused, build, keypair="my%index%key")
        self.assertIn("keypair", str(error))
        build(cluster_name="my%index%cluster")

    def test_more_than_nova_takes_is_refused(self):
        """A bundle of all the world's authorities is refused here, not by every server."""
        build(openstack_ca=samples.CERTIFICATE * 3)
        error = self.assertRaises(exceptions.Refused, build, openstack_ca=samples.CERTIFICATE * 100)
        self.assertIn("openstack_ca_file", str(error))

    def test_secrets_are_not_shown(self):
        """Neither inputs nor request print a secret."""
        inputs = samples.inputs()
        self.assertNotIn("s" * 86, repr(inputs))
        self.assertNotIn("s" * 86, repr(stack_request.build(inputs)))


class TestFromMagnum(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.template = types.SimpleNamespace(
            image_id="ubuntu_xenial",
            flavor_id="m1.small",
            master_flavor_id="m1.medium",
            keypair_id="template-key",
            dns_nameserver="8.8.8.8,8.8.4.4",
            external_network_id="public",
            docker_volume_size=5,
            docker_storage_driver="overlay2",
            http_proxy="http://proxy:3128",
            https_proxy=None,
            no_proxy="10.0.0.0/8",
            insecure_registry="registry:5000",
            floating_ip_enabled=True,
        )
        group = {"flavor_id": None, "image_id": None}
        self.cluster = types.SimpleNamespace(
            uuid=samples.UUID,
            name="c",
            keypair=None,
            docker_volume_size=None,
            master_flavor_id=None,
            flavor_id=None,
            floating_ip_enabled=None,
            default_ng_master=types.SimpleNamespace(node_count=3, **group),
            default_ng_worker=types.SimpleNamespace(node_count=8, **group),
        )
        self.labels = label_table.Labels()

    def _inputs(self) -> stack_request.StackInputs:
        return stack_request.from_magnum(
            self.cluster,
            self.template,
            self.labels,
            ca_certificate="PEM",
            magnum_url="http://magnum/v1",
            auth_url="http://keystone/v3",
            region_name=None,
            node_credential=stack_request.NodeCredential("id", "secret"),
            fixed_network=None,
            openstack_ca=None,
            address_pool="10.200.0.0/16",
            timeout_minutes=60,
        )

    def test_the_template_gives_what_the_cluster_does_not(self):
        """A cluster without values of its own is as its template says."""
        inputs = self._inputs()
        self.assertEqual(3, inputs.manager_count)
        self.assertEqual(8, inputs.worker_count)
        self.assertEqual("m1.medium", inputs.manager_flavor)
        self.assertEqual("m1.small", inputs.worker_flavor)
        self.assertEqual("ubuntu_xenial", inputs.worker_image)
        self.assertEqual("template-key", inputs.keypair)
        self.assertEqual(("8.8.8.8", "8.8.4.4"), inputs.dns_nameservers)
        self.assertEqual(5, inputs.docker_volume_size)
        self.assertEqual("http://proxy:3128", inputs.engine.http_proxy)
        self.assertEqual("", inputs.engine.https_proxy)
        self.assertEqual(("registry:5000",), inputs.engine.insecure_registries)
        self.assertIs(True, inputs.floating_ip_enabled)

    def test_the_cluster_overrides_the_template(self):
        """What the cluster says, zero and False included, counts more than its template."""
        self.cluster.keypair = "mine"
        self.cluster.docker_volume_size = 0
        self.cluster.floating_ip_enabled = False
        self.cluster.flavor_id = "m1.large"
        inputs = self._inputs()
        self.assertEqual("mine", inputs.keypair)
        self.assertEqual(0, inputs.docker_volume_size)
        self.assertIs(False, inputs.floating_ip_enabled)
        self.assertEqual("m1.large", inputs.worker_flavor)

    def test_the_node_group_overrides_the_cluster(self):
        """Node groups have their own image and flavor."""
        self.cluster.flavor_id = "m1.large"
        self.cluster.default_ng_worker.flavor_id = "m1.huge"
        self.cluster.default_ng_master.image_id = "other"
        inputs = self._inputs()
        self.assertEqual("m1.huge", inputs.worker_flavor)
        self.assertEqual("other", inputs.manager_image)

    def test_managers_take_the_workers_flavor_where_they_have_none(self):
        """One flavor is enough for a template."""
        self.template.master_flavor_id = None
        self.assertEqual("m1.small", self._inputs().manager_flavor)

    def test_labels_become_values(self):
        """The labels are among the inputs as they are."""
        self.labels = label_table.Labels(
            swarm_address_pool_mask=25,
            data_path_port=4800,
            api_allowed_cidrs=("192.0.2.0/24",),
            ssh_allowed_cidrs=("198.51.100.0/24",),
            worker_floating_ip_enabled=True,
            manager_availability="drain",
            join_timeout=60,
            availability_zone="zone",
        )
        self.assertEqual(self.labels, self._inputs().labels)

    def test_the_stack_is_found_by_the_uuid(self):
        """Whoever knows a cluster's uuid knows its stack's name."""
        self.assertEqual(f"swarm-mode-{samples.UUID}", stack_request.stack_name(self.cluster))
