# SPDX-License-Identifier: Apache-2.0
"""What each command sends and prints."""

from __future__ import annotations

import stat
import textwrap

from magnum_swarm_mode.cli import commands
from tests.unit.cli import fake_cloud
from tests.unit.cli.base import CommandTestCase

SEED_TEMPLATE = (
    "magnum cluster-template-create --name swarm-mode-cluster-template --image-id ubuntu_xenial"
    " --keypair-id fuel --fixed-network private --external-network-id public"
    " --dns-nameserver 8.8.8.8 --flavor-id m1.medium --docker-volume-size 5 --coe swarm-mode"
)
SEED_CLUSTER = (
    "magnum cluster-create --name swarm-mode-cluster"
    " --cluster-template swarm-mode-cluster-template --manager-count 3 --node-count 8"
)


class TemplateTest(CommandTestCase):
    def test_create_sends_what_was_given_and_shows_the_template(self) -> None:
        """Creating a template sends each option under the API's name and prints the result."""
        ran = self.magnum_line(SEED_TEMPLATE)
        self.assertEqual((0, ""), (ran.code, ran.err))
        self.assertEqual(
            {
                "name": "swarm-mode-cluster-template",
                "image_id": "ubuntu_xenial",
                "keypair_id": "fuel",
                "fixed_network": "private",
                "external_network_id": "public",
                "dns_nameserver": "8.8.8.8",
                "flavor_id": "m1.medium",
                "docker_volume_size": 5,
                "coe": "swarm-mode",
                "server_type": "vm",
            },
            self.cloud.sent("POST", "/clustertemplates"),
        )
        self.assertEqual(["coe", "swarm-mode"], ran.row("coe"))
        self.assertNotIn("links", ran.out)

    def test_create_takes_the_names_without_id_and_a_positional_name(self) -> None:
        """The options without -id mean the same, and the name may stand alone."""
        self.magnum_line(
            "magnum cluster-template-create t --image i --external-network e --coe swarm-mode"
            " --keypair k --flavor f --master-flavor g --labels a=1,b=2 --labels c=3 --public"
            " --floating-ip-disabled --hidden"
        )
        self.assertEqual(
            {
                "name": "t",
                "image_id": "i",
                "external_network_id": "e",
                "coe": "swarm-mode",
                "keypair_id": "k",
                "flavor_id": "f",
                "master_flavor_id": "g",
                "labels": {"a": "1,b=2", "c": "3"},
                "public": True,
                "hidden": True,
                "floating_ip_enabled": False,
                "dns_nameserver": "8.8.8.8",
                "server_type": "vm",
            },
            self.cloud.sent("POST", "/clustertemplates"),
        )

    def test_list_shows_uuid_and_name(self) -> None:
        """The list has the two usual columns and those asked for."""
        made = self.cloud.add_template(name="t")
        ran = self.magnum("cluster-template-list", "--fields", "coe", "--limit", "5")
        self.assertEqual([made["uuid"], "t", "swarm-mode"], ran.row(made["uuid"]))
        self.assertEqual(["uuid", "name", "coe"], ran.row("uuid"))
        self.assertEqual([("GET", "/clustertemplates?limit=5", None)], self.cloud.requests)

    def test_list_in_detail(self) -> None:
        """With --detail all fields of all templates are shown."""
        made = self.cloud.add_template(name="t", image_id="i")
        ran = self.magnum("cluster-template-list", "--detail")
        self.assertIn("i", ran.row(made["uuid"]))
        self.assertEqual([("GET", "/clustertemplates/detail", None)], self.cloud.requests)

    def test_show_update_delete(self) -> None:
        """A template is shown, changed by a JSON patch, and deleted by name."""
        made = self.cloud.add_template(name="t")
        self.assertEqual(["name", "t"], self.magnum("cluster-template-show", "t").row("name"))
        self.magnum("cluster-template-update", "t", "replace", "flavor_id=m1.large", "labels=a=1")
        self.assertEqual(
            [
                {"op": "replace", "path": "/flavor_id", "value": "m1.large"},
                {"op": "replace", "path": "/labels", "value": "{'a': '1'}"},
            ],
            self.cloud.sent("PATCH", "/clustertemplates/t"),
        )
        ran = self.magnum("cluster-template-delete", made["uuid"])
        self.assertEqual(
            f"Request to delete cluster template {made['uuid']} has been accepted.\n", ran.out
        )
        self.assertEqual({}, self.cloud.templates)


class ClusterTest(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.template = self.cloud.add_template(name="swarm-mode-cluster-template")

    def add(self, **fields: object) -> dict[str, object]:
        return self.cloud.add_cluster(
            **{"name": "c", "cluster_template_id": self.template["uuid"], **fields}
        )

    def test_create_counts_managers_under_their_own_name(self) -> None:
        """--manager-count is --master-count, and the uuid of the new cluster is printed."""
        ran = self.magnum_line(SEED_CLUSTER)
        [made] = self.cloud.clusters
        self.assertEqual(f"Request to create cluster {made} has been accepted.\n", ran.out)
        self.assertEqual(
            {
                "name": "swarm-mode-cluster",
                "cluster_template_id": self.template["uuid"],
                "master_count": 3,
                "node_count": 8,
                "create_timeout": 60,
            },
            self.cloud.sent("POST", "/clusters"),
        )

    def test_create_with_every_option(self) -> None:
        """Each option of cluster-create reaches the API under its name there."""
        ran = self.magnum_line(
            "magnum cluster-create c --cluster-template swarm-mode-cluster-template"
            " --keypair-id k --docker-volume-size 7 --labels a=1;b=2 --merge-labels"
            " --node-count 2 --master-count 1 --flavor f --master-flavor g --fixed-network n"
            " --fixed-subnet s --floating-ip-enabled --master-lb-disabled --discovery-url u"
            " --timeout 10"
        )
        self.assertEqual("", ran.err)
        self.assertEqual(
            {
                "name": "c",
                "cluster_template_id": self.template["uuid"],
                "keypair": "k",
                "docker_volume_size": 7,
                "labels": {"a": "1", "b": "2"},
                "merge_labels": True,
                "node_count": 2,
                "master_count": 1,
                "flavor_id": "f",
                "master_flavor_id": "g",
                "fixed_network": "n",
                "fixed_subnet": "s",
                "floating_ip_enabled": True,
                "master_lb_enabled": False,
                "discovery_url": "u",
                "create_timeout": 10,
            },
            self.cloud.sent("POST", "/clusters"),
        )

    def test_list(self) -> None:
        """The list of clusters has the columns it always had."""
        made = self.add()
        ran = self.magnum("cluster-list")
        self.assertEqual(
            ["uuid", "name", "keypair", "node_count", "master_count", "status"], ran.row("uuid")
        )
        self.assertEqual(
            [made["uuid"], "c", "fuel", "8", "3", "CREATE_COMPLETE"], ran.row(str(made["uuid"]))
        )

    def test_list_of_no_cluster_is_an_empty_table(self) -> None:
        """Without clusters the columns are shown all the same, even one that none has."""
        ran = self.magnum("cluster-list", "--fields", "coe_version")
        self.assertEqual(0, ran.code)
        self.assertIn("coe_version", ran.row("uuid"))

    def test_show(self) -> None:
        """A cluster is shown with all fields, missing values as a dash."""
        self.add()
        ran = self.magnum("cluster-show", "c")
        self.assertEqual(["api_address", "tcp://172.24.4.30:2376"], ran.row("api_address"))
        self.assertEqual(["status_reason", "-"], ran.row("status_reason"))
        self.assertNotIn("clustertemplate_", ran.out)

    def test_show_with_its_template(self) -> None:
        """With --long the template's fields are there, too."""
        self.add()
        ran = self.magnum("cluster-show", "--long", "c")
        self.assertEqual(["clustertemplate_coe", "swarm-mode"], ran.row("clustertemplate_coe"))

    def test_show_does_not_let_a_reason_write_to_the_terminal(self) -> None:
        """Control characters in a field are replaced."""
        self.add(status_reason="\x1b]0;owned\x07")
        ran = self.magnum("cluster-show", "c")
        self.assertNotIn("\x1b", ran.out)
        self.assertIn("\N{REPLACEMENT CHARACTER}]0;owned", ran.out)

    def test_update_knows_managers(self) -> None:
        """A change is a JSON patch; manager_count means master_count; --rollback is passed on."""
        self.add()
        ran = self.magnum(
            "cluster-update", "--rollback", "c", "replace", "manager_count=5", "node_count=9"
        )
        self.assertEqual("Request to update cluster c has been accepted.\n", ran.out)
        self.assertEqual(
            [
                {"op": "replace", "path": "/master_count", "value": 5},
                {"op": "replace", "path": "/node_count", "value": 9},
            ],
            self.cloud.sent("PATCH", "/clusters/c/?rollback=True".replace("/?", "?")),
        )

    def test_delete_goes_on_after_one_that_fails(self) -> None:
        """Of several clusters those that can be deleted are, and the code says that one was not."""
        self.add(name="a")
        self.add(name="b")
        ran = self.magnum("cluster-delete", "a", "nix", "b")
        self.assertEqual({}, self.cloud.clusters)
        self.assertEqual(1, ran.code)
        self.assertEqual(
            "Request to delete cluster a has been accepted.\n"
            "Request to delete cluster b has been accepted.\n",
            ran.out,
        )
        self.assertEqual(
            "ERROR: Could not delete 1 of 3: nix: clusters nix could not be found. (HTTP 404)\n",
            ran.err,
        )


class ConfigTest(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.template = self.cloud.add_template(name="t")
        self.cluster = self.cloud.add_cluster(name="c", cluster_template_id=self.template["uuid"])

    def test_files_and_environment(self) -> None:
        """The three files are private, and the printed lines point docker to them."""
        directory = self.home / "with a space"
        ran = self.magnum("cluster-config", "c", "--dir", str(directory))
        self.assertEqual(
            textwrap.dedent(f"""\
                export DOCKER_HOST=tcp://172.24.4.30:2376
                export DOCKER_TLS_VERIFY=1
                export DOCKER_CERT_PATH='{directory}'
                """),
            ran.out,
        )
        self.assertEqual(
            {"ca.pem": "0o600", "cert.pem": "0o600", "key.pem": "0o600"},
            {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in directory.iterdir()},
        )
        self.assertEqual(fake_cloud.CA_PEM, (directory / "ca.pem").read_text())
        self.assertEqual(fake_cloud.CERT_PEM, (directory / "cert.pem").read_text())
        self.assertIn("PRIVATE KEY", (directory / "key.pem").read_text())

    def test_key_never_leaves(self) -> None:
        """Magnum is sent a signing request, not the key."""
        self.magnum("cluster-config", "c", "--dir", str(self.home))
        sent = self.cloud.sent("POST", "/certificates")
        self.assertEqual(self.cluster["uuid"], sent["cluster_uuid"])
        self.assertNotIn("PRIVATE", str(self.cloud.requests))

    def test_csh(self) -> None:
        """A csh gets its own syntax."""
        self.set_environment(SHELL="/usr/bin/tcsh")
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home))
        self.assertIn("setenv DOCKER_TLS_VERIFY 1\n", ran.out)

    def test_a_user_without_shell(self) -> None:
        """Where SHELL is not set the lines are those of a POSIX shell."""
        self.set_environment(SHELL=None)
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home))
        self.assertIn("export DOCKER_TLS_VERIFY=1\n", ran.out)

    def test_existing_files_stay(self) -> None:
        """A file that is there is overwritten only with --force, and no certificate is signed."""
        (self.home / "key.pem").write_text("mine")
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home))
        self.assertEqual(1, ran.code)
        self.assertIn(f"ERROR: {self.home}/key.pem exists already", ran.err)
        self.assertEqual("mine", (self.home / "key.pem").read_text())
        self.assertNotIn("POST", [method for method, _, _ in self.cloud.requests])
        self.assertEqual(
            0, self.magnum("cluster-config", "c", "--force", "--dir", str(self.home)).code
        )
        self.assertIn("PRIVATE KEY", (self.home / "key.pem").read_text())

    def test_cluster_without_address(self) -> None:
        """A cluster that has no address yet is an error that says its status."""
        self.cluster.update(api_address=None, status="CREATE_IN_PROGRESS")
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home))
        self.assertEqual(
            (1, "ERROR: Cluster c has no API address yet: its status is CREATE_IN_PROGRESS.\n"),
            (ran.code, ran.err),
        )

    def test_cluster_without_tls(self) -> None:
        """Without TLS no file is written and docker is told not to use any."""
        self.template["tls_disabled"] = True
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home / "d"))
        self.assertIn("export DOCKER_TLS_VERIFY=''\n", ran.out)
        self.assertFalse((self.home / "d").exists())

    def test_other_coe(self) -> None:
        """A cluster of Kubernetes is refused with the command that serves it."""
        self.template["coe"] = "kubernetes"
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home))
        self.assertEqual(1, ran.code)
        self.assertIn("is of COE kubernetes: use 'openstack coe cluster config'", ran.err)

    def test_directory_that_cannot_be_written(self) -> None:
        """A directory that cannot be made is one line."""
        (self.home / "file").write_text("")
        ran = self.magnum("cluster-config", "c", "--dir", str(self.home / "file" / "d"))
        self.assertEqual(1, ran.code)
        self.assertIn("Cannot write to", ran.err)


class CertificateTest(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.cloud.add_cluster(name="c")

    def test_show(self) -> None:
        """The CA is printed for a cluster named either way."""
        for words in (("c",), ("--cluster", "c")):
            self.assertEqual(fake_cloud.CA_PEM + "\n", self.magnum("ca-show", *words).out)

    def test_show_needs_one_cluster(self) -> None:
        """No cluster and two clusters are errors."""
        self.assertEqual("ERROR: Give the cluster's name or uuid.\n", self.magnum("ca-show").err)
        self.assertEqual(
            "ERROR: Give the cluster's name or uuid once: 2 were given.\n",
            self.magnum("ca-show", "c", "--cluster", "c").err,
        )

    def test_sign(self) -> None:
        """A request read from a file is sent and the certificate printed."""
        csr = self.home / "csr.pem"
        csr.write_text("-----BEGIN CERTIFICATE REQUEST-----")
        ran = self.magnum("ca-sign", "--cluster", "c", "--csr", str(csr))
        self.assertEqual(fake_cloud.CERT_PEM + "\n", ran.out)
        self.assertEqual(
            {"cluster_uuid": self.cluster["uuid"], "csr": csr.read_text()},
            self.cloud.sent("POST", "/certificates"),
        )

    def test_sign_without_file(self) -> None:
        """A file that is not there is one line and code 1."""
        ran = self.magnum("ca-sign", "c", "--csr", "/nix")
        self.assertEqual((1, "ERROR: Cannot read /nix: No such file or directory.\n"),
                         (ran.code, ran.err))  # fmt: skip

    def test_rotate(self) -> None:
        """Rotation is asked for."""
        ran = self.magnum("ca-rotate", "--cluster", "c")
        self.assertEqual("Request to rotate the CA has been accepted.\n", ran.out)
        self.assertIsNone(self.cloud.sent("PATCH", f"/certificates/{self.cluster['uuid']}"))


class OtherTest(CommandTestCase):
    def test_service_list(self) -> None:
        """Magnum's services are listed with the columns they always had."""
        ran = self.magnum_line("magnum service-list")
        self.assertEqual(
            ["id", "host", "binary", "state", "disabled", "disabled_reason", "created_at",
             "updated_at"],
            ran.row("id"),
        )  # fmt: skip
        self.assertEqual(["1", "devcloud", "magnum-conductor", "up"], ran.row("1")[:4])

    def test_stats(self) -> None:
        """Statistics of one project are asked for and shown."""
        ran = self.magnum("stats-list", "--project-id", "p")
        self.assertEqual(["nodes", "11"], ran.row("nodes"))
        self.assertEqual([("GET", "/stats?project_id=p", None)], self.cloud.requests)

    def test_quotas(self) -> None:
        """A quota is made, shown, listed, changed and deleted."""
        which = ("--project-id", "p", "--resource", "Cluster")
        self.magnum("quotas-create", *which, "--hard-limit", "5")
        self.assertEqual(["hard_limit", "5"], self.magnum("quotas-show", *which).row("hard_limit"))
        self.magnum("quotas-update", *which, "--hard-limit", "9")
        ran = self.magnum("quotas-list", "--all-tenants")
        self.assertEqual(["p", "Cluster", "9"], ran.row("p"))
        self.assertEqual(0, self.magnum("quotas-delete", *which).code)
        self.assertEqual({}, self.cloud.quotas)


class TableTest(CommandTestCase):
    def test_every_command_explains_itself(self) -> None:
        """Help names every command, and each command's help its options."""
        ran = self.magnum("help")
        for command in commands.TABLE:
            self.assertIn(f"  {command.name} ", ran.out)
            helped = self.magnum("help", command.name)
            self.assertEqual((0, ""), (helped.code, helped.err))
            self.assertIn(f"usage: magnum {command.name}", helped.out)

    def test_completion_lists_commands_and_options(self) -> None:
        """A shell's completion gets all words."""
        words = self.magnum("bash-completion").out.split()
        self.assertLess({"cluster-create", "--manager-count", "--external-network-id"}, set(words))
