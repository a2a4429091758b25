# SPDX-License-Identifier: Apache-2.0
"""``magnum-swarm-mode render``: what it takes, what it shows, and what it refuses."""

import json
import subprocess
import sys

import yaml

from magnum_swarm_mode import conf, exceptions
from magnum_swarm_mode.admission import fields as request_fields
from magnum_swarm_mode.cli import commands
from magnum_swarm_mode.labels import parsing as label_parsing
from magnum_swarm_mode.node.base import config
from magnum_swarm_mode.preview import main, stack
from magnum_swarm_mode.stack import request as stack_request
from magnum_swarm_mode.stack.files import templates
from tests.unit.preview import base


class ShowTest(base.RenderTestCase):
    def test_first_cluster_on_the_terminal(self) -> None:
        """Everything of the project's first cluster is one text of YAML documents with names."""
        code, out, err = self.run_command("render", *base.FIRST)
        self.assertEqual((0, ""), (code, err))
        names = [line.split()[2] for line in out.splitlines() if line.startswith("--- # ")]
        self.assertEqual(
            [
                "cluster.yaml",
                "manager_port_floating.yaml",
                "manager_volume.yaml",
                "network_existing.yaml",
                "node_group.yaml",
                "worker_volume.yaml",
                "environment.yaml",
                "parameters.yaml",
                "cloud-init/manager.yaml",
                "cloud-init/worker.yaml",
            ],
            names,
        )
        documents = list(yaml.safe_load_all(out))
        self.assertEqual(len(names), len(documents))
        self.assertEqual(3, documents[-3]["parameters"]["manager_count"])

    def test_files_are_the_driver_s_templates(self) -> None:
        """With a directory, the same is there as files; HOT is the template byte for byte."""
        texts = self.render(*base.FIRST)
        for name in ("cluster.yaml", "node_group.yaml", "worker_volume.yaml"):
            self.assertEqual(templates.read(name), texts[name])
        self.assertIn("@CONFIGURATION@", texts["user_data/manager.yaml"])
        environment = yaml.safe_load(texts["environment.yaml"])
        self.assertEqual(
            "manager_volume.yaml", environment["resource_registry"]["Magnum::SwarmMode::Manager"]
        )
        self.assertEqual(5, environment["parameter_defaults"]["docker_volume_size"])

    def test_parameters_are_those_of_the_driver(self) -> None:
        """The parameters come from the function that the driver calls, secrets as placeholders."""
        given = main.build_parser().parse_args(["render", *base.FIRST])
        main.read_configuration([])
        expected = stack_request.build(stack.inputs(main.ask(given), main.facts(given)))
        self.assertEqual(dict(expected.parameters), self.parameters(*base.FIRST))
        self.assertEqual(
            stack.CREDENTIAL_PLACEHOLDER.secret, expected.parameters["node_credential_secret"]
        )

    def test_each_role_s_cloud_init_is_filled_in(self) -> None:
        """What a node is told is whole: the node program itself takes it."""
        texts = self.render(*base.FIRST)
        for role, text in (("manager", "default-master"), ("worker", "default-worker")):
            self.assertStartsWith(texts[f"cloud-init/{role}.yaml"], "#cloud-config\n")
            self.assertNotIn("@CONFIGURATION@", texts[f"cloud-init/{role}.yaml"])
            told = base.configuration(texts, role)
            self.assertEqual(text, told["node_group"])
            self.assertEqual("swarm-mode-cluster", told["cluster"]["name"])
            self.assertEqual({"0", "1", "2"}, set(told["managers"]))
            self.assertEqual(1500, told["engine"]["mtu"])
            parsed = config.parse(json.dumps(told))
            self.assertEqual((role, 1200), (parsed.role, parsed.join_timeout))
        self.assertNotIn("application_credential_secret", str(base.configuration(texts, "worker")))

    def test_what_only_a_cloud_knows_names_itself(self) -> None:
        """Addresses and secrets are texts in parentheses that name resource and attribute."""
        told = base.configuration(self.render(*base.LEAST), "manager")
        self.assertEqual(
            {
                "address": "(manager_ports 0 port: fixed_ips, 0, ip_address)",
                "floating_address": "(manager_ports 0 floating_ip: floating_ip_address)",
            },
            told["managers"]["0"],
        )
        self.assertEqual("(join_secret: value)", told["join"]["secret"])
        self.assertEqual("(manager_signal: password)", json.loads(told["signal"])["password"])

    def test_every_parameter_is_used_and_every_used_one_is_there(self) -> None:
        """The driver hands Heat exactly what the first template declares without default."""
        declared = yaml.safe_load(templates.read("cluster.yaml"))["parameters"]
        given = set(self.parameters(*base.FIRST))
        with_default = {name for name, schema in declared.items() if "default" in schema}
        by_environment = {"docker_volume_size", "external_network"}
        self.assertEqual(set(), given - set(declared))
        self.assertEqual(set(), set(declared) - given - with_default - by_environment)


class InputTest(base.RenderTestCase):
    def test_options_are_those_of_the_two_commands(self) -> None:
        """What creates a template or cluster with ``magnum`` renders it as well, each option."""
        parser = main.build_parser()
        for name in ("cluster-template-create", "cluster-create"):
            for argument in main._arguments(name):
                for flag in argument.flags:
                    choices = [] if argument.settings.get("action") == "store_const" else ["1"]
                    parser.parse_args(["render", flag, *choices])
            self.assertIn(name, commands.BY_NAME)

    def test_files_of_the_api(self) -> None:
        """A template and a cluster as the API answers them are taken whole."""
        template = self.file(
            "template.json",
            {
                "uuid": "1d774e36-be41-43ee-8b88-64e6006bd788", "name": "t", "coe": "swarm-mode",
                "image_id": "debian", "flavor_id": "small", "external_network_id": "public",
                "links": [], "created_at": "2026-01-01T00:00:00", "volume_driver": None,
                "tls_disabled": False, "labels": {"join_timeout": "300"}, "fixed_network": "-",
            },
        )  # fmt: skip
        cluster = self.file(
            "cluster.yaml",
            "name: web\nuuid: 0b2f1c3d-be41-43ee-8b88-64e6006bd788\nstatus: CREATE_COMPLETE\n"
            "node_count: 2\nmaster_count: 3\nlabels: {data_path_port: 5000}\nmerge_labels: true\n",
        )
        told = self.parameters(
            "--template-file", template, "--cluster-file", cluster, "--node-count", "4"
        )
        self.assertEqual(
            ("web", "0b2f1c3d-be41-43ee-8b88-64e6006bd788", 3, 4, "small", 300, 5000),
            tuple(
                told[name]
                for name in (
                    "cluster_name", "cluster_uuid", "manager_count", "worker_count",
                    "manager_flavor", "join_timeout", "data_path_port",
                )
            ),
        )  # fmt: skip

    def test_labels_in_a_command_line_s_table(self) -> None:
        """Labels may be text, as ``openstack … show -f json`` has them in older releases."""
        for text in ("{'join_timeout': '300'}", '{"join_timeout": 300}'):
            path = self.file("t.json", {"image_id": "i", "flavor_id": "f", "labels": text,
                                        "external_network_id": "p"})  # fmt: skip
            self.assertEqual(300, self.parameters("--template-file", path)["join_timeout"])

    def test_labels(self) -> None:
        """Labels are given one by one, with commas, or as to ``magnum``."""
        told = self.parameters(
            *base.LEAST,
            *("--label", "ssh_allowed_cidrs=192.0.2.0/24,198.51.100.0/24"),
            *("--labels", "join_timeout=300,data_path_port=5000"),
        )
        self.assertEqual(["192.0.2.0/24", "198.51.100.0/24"], told["ssh_allowed_cidrs"])
        self.assertEqual((300, 5000), (told["join_timeout"], told["data_path_port"]))

    def test_a_cluster_s_labels_replace_its_template_s(self) -> None:
        """Unless they are merged, as in Magnum."""
        path = self.file("t.json", {"image_id": "i", "flavor_id": "f", "external_network_id": "p",
                                    "labels": {"join_timeout": "300"}})  # fmt: skip
        arguments = ("--template-file", path, "--label", "data_path_port=5000")
        self.assertEqual(1200, self.parameters(*arguments)["join_timeout"])
        self.assertEqual(300, self.parameters(*arguments, "--merge-labels")["join_timeout"])

    def test_facts_of_the_cloud(self) -> None:
        """What would be looked up in a cloud can be said."""
        told = self.parameters(
            *base.FIRST,
            *("--fixed-subnet-cidr", "192.168.5.0/24", "--fixed-network-mtu", "1400"),
            *("--auth-url", "https://k/v3", "--magnum-url", "https://m/v1"),
            *("--region-name", "north", "--os-distro", "ubuntu"),
        )
        self.assertEqual(
            ("192.168.5.0/24", 1400, "https://k/v3", "https://m/v1", "north"),
            tuple(
                told[name]
                for name in (
                    "fixed_subnet_cidr", "fixed_network_mtu", "auth_url", "magnum_url",
                    "region_name",
                )
            ),
        )  # fmt: skip


class ConfigurationTest(base.RenderTestCase):
    def test_operator_s_defaults(self) -> None:
        """An operator's magnum.conf decides what a cluster says nothing of."""
        certificate = self.file("ca.pem", "-----BEGIN CERTIFICATE-----\nA\n")
        path = self.file(
            "magnum.conf",
            "[DEFAULT]\nconfig_source = swarm_mode\n[swarm_mode]\ndriver = magnum_swarm_mode\n"
            "join_timeout = 300\naddress_pools = 172.30.0.0/16\nconductor_cidrs = 192.0.2.7/32\n"
            "api_allowed_cidrs = 198.51.100.0/24\n"
            f"[drivers]\nopenstack_ca_file = {certificate}\n[heat_client]\nregion_name = south\n",
        )
        told = self.parameters(*base.LEAST, "--config-file", path)
        self.assertEqual(
            (300, "172.30.0.0/16", ["198.51.100.0/24", "192.0.2.7/32"], "south"),
            tuple(
                told[name]
                for name in (
                    "join_timeout", "swarm_address_pool", "api_allowed_cidrs", "region_name"
                )
            ),
        )  # fmt: skip
        self.assertIn("BEGIN CERTIFICATE", told["openstack_ca_certificate"])

    def test_operator_s_templates(self) -> None:
        """A changed copy of the templates is what is shown."""
        copy = self.directory / "templates"
        subprocess.run(["cp", "-r", templates.template_directory(), copy], check=True)
        changed = (copy / "cluster.yaml").read_text().replace("A Docker Swarm mode", "Our own")
        (copy / "cluster.yaml").write_text(changed)
        path = self.file("magnum.conf", f"[swarm_mode]\ntemplate_path = {copy}\n")
        texts = self.render(*base.LEAST, "--config-file", path)
        self.assertIn("Our own cluster", texts["cluster.yaml"])

    def test_a_wrong_value_is_named(self) -> None:
        """A bad value in magnum.conf is said with its option, as at the start of a service."""
        path = self.file("magnum.conf", "[swarm_mode]\njoin_timeout = soon\n")
        self.assertIn("join_timeout", self.refused(*base.LEAST, "--config-file", path))
        self.assertIn(
            "/nowhere", self.refused(*base.LEAST, "--config-file", "/nowhere/magnum.conf")
        )

    def test_reads_no_configuration_unasked(self) -> None:
        """A magnum.conf that happens to be on the machine changes nothing."""
        main.read_configuration([])
        self.assertEqual([], conf.CONF.default_config_files)


class RefusalTest(base.RenderTestCase):
    def test_labels(self) -> None:
        """An unknown label and a bad value are refused in the words of the API."""
        for text in ("join_timout=300", "join_timeout=1", "data_path_port=7946"):
            name, _, value = text.partition("=")
            refusal = self.assertRaises(exceptions.Refused, label_parsing.parse, {name: value})
            self.assertEqual(str(refusal), self.refused(*base.LEAST, "--label", text))

    def test_every_refused_field_of_a_template(self) -> None:
        """Each field that is not honoured is refused with its sentence in the table."""
        for name in ("registry_enabled", "tls_disabled", "master_lb_enabled", "volume_driver"):
            path = self.file(
                "t.json",
                {"image_id": "i", "flavor_id": "f", "external_network_id": "p",
                 name: "rexray" if name == "volume_driver" else True},
            )  # fmt: skip
            expected = request_fields.CLUSTER_TEMPLATE_FIELDS[name].text
            self.assertStartsWith(self.refused("--template-file", path), expected)

    def test_even_managers(self) -> None:
        """The arithmetic of quorum is in the refusal."""
        self.assertIn("quorum", self.refused(*base.LEAST, "--manager-count", "2"))

    def test_what_is_missing(self) -> None:
        """A template without image, flavor or external network is refused, naming the field."""
        self.assertIn("image_id", self.refused("--external-network", "public"))
        self.assertIn("external_network_id", self.refused("--image", "debian"))
        path = self.file("t.json", {"image_id": "i", "external_network_id": "p"})
        self.assertIn("flavor_id", self.refused("--template-file", path))

    def test_image_and_engine(self) -> None:
        """A distribution or an orchestration engine of others is refused."""
        self.assertIn("os_distro=fedora", self.refused(*base.LEAST, "--os-distro", "fedora"))
        self.assertIn("coe=kubernetes", self.refused(*base.LEAST, "--coe", "kubernetes"))

    def test_address_pool_over_the_subnet(self) -> None:
        """A pool that hides what nodes must reach is refused."""
        for text in ("10.0.0.0/16", "172.17.0.0/16"):
            arguments = (*base.LEAST, "--label", f"swarm_address_pool={text}")
            self.assertIn("overlaps", self.refused(*arguments))
        arguments = (*base.LEAST, "--auth-url", "https://10.200.0.5/v3")
        self.assertEqual("10.216.0.0/16", self.parameters(*arguments)["swarm_address_pool"])

    def test_files(self) -> None:
        """A file that is not there, is no mapping, or has an unknown field is named."""
        for content, word in (
            ("- 1\n", "not a mapping"),
            ("{", "cannot be read"),
            ({"flavour_id": "f"}, "did you mean flavor_id?"),
            ({"labels": "rubbish"}, "labels is not a mapping"),
        ):
            self.assertIn(word, self.refused("--template-file", self.file("t", content)))
        self.assertIn("cannot be read", self.refused("--template-file", "/nowhere/t.json"))

    def test_a_label_without_value(self) -> None:
        """What is not name=value is said so."""
        self.assertIn("name=value", self.refused(*base.LEAST, "--label", "join_timeout"))
        self.assertIn("join_timeout", self.refused(*base.LEAST, "--labels", "join_timeout"))

    def test_a_directory_that_cannot_be_written(self) -> None:
        """The directory is named."""
        self.assertIn("/dev/null/x", self.refused(*base.LEAST, "--output", "/dev/null/x"))

    def test_usage(self) -> None:
        """A wrong option is exit code 2 and one line about it."""
        code, out, err = self.run_command("render", "--nonsense")
        self.assertEqual((2, ""), (code, out))
        self.assertIn("--nonsense", err)


class ProcessTest(base.RenderTestCase):
    def test_needs_neither_magnum_nor_a_server_s_library(self) -> None:
        """Rendering loads nothing of Magnum, and none of the services' libraries."""
        program = (
            "import sys; from magnum_swarm_mode.preview import main;"
            f"code = main.main(['render', *{base.LEAST!r}]);"
            "bad = {'magnum', 'oslo_messaging', 'sqlalchemy', 'pecan', 'wsme', 'heatclient'};"
            "sys.exit(code or bool(bad & set(sys.modules)))"
        )
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)

    def test_reader_that_goes_away(self) -> None:
        """A pipe that is closed early (head) causes no complaint."""
        done = subprocess.run(
            f"{sys.executable} -m magnum_swarm_mode.preview render {' '.join(base.LEAST)} | true",
            shell=True, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual("", done.stderr)

    def test_help(self) -> None:
        """The help explains itself and ends well."""
        code, out, _ = self.run_command("render", "--help")
        self.assertEqual(0, code)
        self.assertIn("--label", out)
