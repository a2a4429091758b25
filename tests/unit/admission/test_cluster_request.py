# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st
from magnum.api.controllers.v1 import cluster, cluster_template, nodegroup
from magnum.common import exception
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.admission import cluster_request
from magnum_swarm_mode.admission import fields as request_fields
from tests.unit.admission.properties import PROPERTY

TEMPLATE = {
    "name": "template",
    "coe": "swarm-mode",
    "driver": "swarm_mode",
    "image_id": "ubuntu_xenial",
    "keypair_id": "fuel",
    "fixed_network": "private",
    "external_network_id": "public",
    "dns_nameserver": "8.8.8.8",
    "flavor_id": "m1.medium",
    "master_flavor_id": "m1.medium",
    "docker_volume_size": 5,
    "docker_storage_driver": "overlay2",
    "network_driver": "overlay",
    "server_type": "vm",
    "tls_disabled": False,
    "registry_enabled": False,
    "master_lb_enabled": False,
    "floating_ip_enabled": True,
    "public": False,
    "hidden": False,
    "labels": {},
}
CLUSTER = {
    "name": "swarm",
    "cluster_template_id": "template",
    "master_count": 3,
    "node_count": 8,
    "create_timeout": 60,
    "labels": {},
    "merge_labels": False,
    "floating_ip_enabled": True,
    "master_lb_enabled": False,
}
CLOUD = cluster_request.Cloud()


class EveryFieldTest(base.BaseTestCase):
    """No field of Magnum's API is forgotten."""

    def assert_declared(self, api_type, fields):
        names = {attribute.name for attribute in api_type._wsme_attributes}
        self.assertEqual(set(), names - set(fields), "fields that no table declares")
        for name, field in fields.items():
            self.assertNotEqual("", field.text, name)
            if field.handling is request_fields.Handling.REFUSED:
                self.assertTrue(field.text.endswith("."), name)

    def test_cluster_template(self):
        """Every field of a template is honoured, refused or Magnum's own."""
        self.assert_declared(
            cluster_template.ClusterTemplate, request_fields.CLUSTER_TEMPLATE_FIELDS
        )

    def test_cluster(self):
        """Every field of a cluster is honoured, refused or Magnum's own."""
        self.assert_declared(cluster.Cluster, request_fields.CLUSTER_FIELDS)

    def test_node_group(self):
        """Every field of a node group is honoured, refused or Magnum's own."""
        self.assert_declared(nodegroup.NodeGroup, request_fields.NODE_GROUP_FIELDS)

    def test_refusals_name_their_field(self):
        """The sentence of a refused field names it."""
        for fields in (request_fields.CLUSTER_TEMPLATE_FIELDS, request_fields.CLUSTER_FIELDS):
            for name, field in fields.items():
                if field.handling is request_fields.Handling.REFUSED:
                    self.assertIn(name, field.text)


class TemplateTest(base.BaseTestCase):
    def check(self, cloud=CLOUD, **changed):
        cluster_request.check_cluster_template(TEMPLATE | changed, cloud)

    def refused(self, **changed):
        return str(self.assertRaises(exceptions.Refused, self.check, **changed))

    def test_good(self):
        """The template of the README is accepted."""
        self.check()

    def test_harmless_values(self):
        """What Magnum and its clients fill in by themselves is accepted."""
        self.check(
            docker_storage_driver=None,
            network_driver=None,
            apiserver_port=None,
            volume_driver=None,
            labels=None,
            tags="",
            project_id="1",
            uuid="2",
            created_at="now",
        )

    def test_refused_values_name_their_field(self):
        """Each value that cannot be honoured is refused by a sentence that names its field."""
        for name, value in (
            ("network_driver", "flannel"),
            ("volume_driver", "rexray"),
            ("server_type", "bm"),
            ("cluster_distro", "fedora-coreos"),
            ("registry_enabled", True),
            ("tls_disabled", True),
            ("master_lb_enabled", True),
            ("apiserver_port", 6443),
            ("docker_storage_driver", "devicemapper"),
            ("driver", "k8s_other"),
            ("http_proxy", "proxy"),
            ("http_proxy", "ftp://proxy:21"),
            ("https_proxy", "http://proxy:99999"),
            ("https_proxy", 'http://proxy:1"; rm -rf /'),
            ("no_proxy", "a, b"),
            ("no_proxy", "$(reboot)"),
            ("insecure_registry", "http://registry:5000"),
            ("insecure_registry", 'registry"'),
            ("floating_ip_enabled", False),
            ("flavor_id", None),
            ("external_network_id", None),
        ):
            with self.subTest(name=name, value=value):
                self.assertIn(name, self.refused(**{name: value}))

    def test_proxy_password_is_not_repeated(self):
        """A refused proxy's password does not appear in the answer."""
        self.assertNotIn("s3cret", self.refused(http_proxy="http://u:s3cret@proxy:x"))

    def test_labels(self):
        """A template's labels are checked when it is made."""
        self.assertIn("join_timeout", self.refused(labels={"join_timeout": "soon"}))

    def test_without_floating_ips(self):
        """Managers without floating IPs are accepted where tenants' networks can be reached."""
        reachable = cluster_request.Cloud(tenant_networks_reachable=True)
        self.check(reachable, floating_ip_enabled=False)
        self.check(reachable, floating_ip_enabled=False, external_network_id=None)
        self.assertIn(
            "external_network_id",
            str(
                self.assertRaises(
                    exceptions.Refused,
                    self.check,
                    reachable,
                    floating_ip_enabled=False,
                    external_network_id=None,
                    fixed_network=None,
                )
            ),
        )

    @PROPERTY
    @given(
        st.sampled_from(sorted(request_fields.CLUSTER_TEMPLATE_FIELDS)),
        st.one_of(st.text(), st.integers(), st.booleans(), st.none()),
    )
    def test_any_value_is_accepted_or_refused(self, name, value):
        """Whatever a field holds, the decision is made, and told in one printable line."""
        if name == "labels":
            value = {str(value): value}
        try:
            self.check(**{name: value})
        except exceptions.Refused as refusal:
            self.assertTrue(str(refusal).isprintable())


class ClusterTest(base.BaseTestCase):
    def check(self, template=None, cloud=CLOUD, **changed):
        return cluster_request.check_cluster(TEMPLATE | (template or {}), CLUSTER | changed, cloud)

    def refused(self, *args, **changed):
        return str(self.assertRaises(exceptions.Refused, self.check, *args, **changed))

    def test_good(self):
        """Three managers without load balancer and eight workers are accepted."""
        self.assertEqual("active", self.check().manager_availability)

    def test_no_workers(self):
        """A cluster may start without workers."""
        self.check(node_count=0)

    def test_even_managers(self):
        """An even number of managers is refused with the arithmetic of quorums."""
        self.assertEqual(
            "master_count=4 is refused: 4 managers need 3 for a quorum and survive the loss of 1, "
            "no more than 3 would; use 3 or 5.",
            self.refused(master_count=4),
        )

    def test_no_managers(self):
        """A swarm without managers is refused."""
        self.assertIn("at least one manager", self.refused(master_count=0))

    def test_refused_values_name_their_field(self):
        """Each value that cannot be honoured is refused by a sentence that names its field."""
        for name, value in (
            ("node_count", -1),
            ("master_lb_enabled", True),
            ("discovery_url", "https://discovery.etcd.io/x"),
            ("create_timeout", 721),
            ("floating_ip_enabled", False),
            ("status", "CREATE_COMPLETE"),
            ("health_status", "HEALTHY"),
        ):
            with self.subTest(name=name):
                self.assertIn(name, self.refused(**{name: value}))

    def test_template_is_checked_again(self):
        """A template that is no longer acceptable makes no cluster."""
        self.assertIn("tls_disabled", self.refused({"tls_disabled": True}))

    def test_own_labels_decide(self):
        """Labels of a cluster replace its template's, for Magnum merges them before."""
        self.assertEqual(60, self.check(labels={"join_timeout": "60"}).join_timeout)
        self.check({"labels": {"dropped": "x"}})
        self.assertIn("bogus", self.refused(labels={"bogus": "x"}))

    def test_worker_floating_ips_need_a_network(self):
        """Floating IPs of workers come from the external network."""
        cloud = cluster_request.Cloud(tenant_networks_reachable=True)
        self.assertIn(
            "external_network_id",
            self.refused(
                {"external_network_id": None},
                cloud,
                floating_ip_enabled=False,
                labels={"worker_floating_ip_enabled": "true"},
            ),
        )

    def test_given_fields(self):
        """Fields that Magnum would silently drop are refused when they are given."""
        for name in ("uuid", "faults", "labels_added", "labels_overridden", "labels_skipped"):
            refusal = self.assertRaises(
                exceptions.Refused,
                request_fields.check_given,
                request_fields.CLUSTER_FIELDS,
                {name},
            )
            self.assertIn(name, str(refusal))
        request_fields.check_given(request_fields.CLUSTER_FIELDS, set(CLUSTER))

    @PROPERTY
    @given(st.one_of(st.integers(-(2**31), 2**31), st.integers(-3, 103)))
    def test_manager_counts(self, count):
        """Exactly the positive odd numbers of managers are accepted, as far as they make sense."""
        accepted = True
        try:
            cluster_request.check_manager_count(count)
        except exceptions.Refused:
            accepted = False
        self.assertEqual(0 < count <= request_fields.MOST_MANAGERS and count % 2 == 1, accepted)

    def test_manager_count_for_magnum(self):
        """Magnum's own callers get an error that its API answers with 400."""
        error = self.assertRaises(
            exception.InvalidParameterValue, cluster_request.validate_manager_count, 2
        )
        self.assertEqual(400, error.code)
        self.assertIn("quorum", str(error))
        cluster_request.validate_manager_count(3)


class ImageTest(base.BaseTestCase):
    def refused(self, image, distro=None):
        return str(
            self.assertRaises(
                exceptions.Refused, cluster_request.check_image, image, "image", distro
            )
        )

    def test_good(self):
        """Ubuntu and Debian are accepted, whoever says so."""
        for distro in ("ubuntu", "debian"):
            cluster_request.check_image({"os_distro": distro}, "image", None)
            cluster_request.check_image(
                {"os_distro": distro, "magnum_driver": "swarm_mode"}, "image", distro
            )

    def test_refused(self):
        """Other systems, contradictions and images of other drivers are refused."""
        self.assertIn("os_distro=coreos", self.refused({"os_distro": "coreos"}))
        self.assertIn("os_distro=None", self.refused({}))
        self.assertIn("cluster_distro=debian", self.refused({"os_distro": "ubuntu"}, "debian"))
        self.assertIn(
            "k8s_other", self.refused({"os_distro": "ubuntu", "magnum_driver": "k8s_other"})
        )


class DriverTest(base.BaseTestCase):
    def test_pairs(self):
        """Our driver and our orchestration engine go together and with nothing else."""
        for coe, driver in (
            ("swarm-mode", "swarm_mode"),
            ("swarm-mode", None),
            ("kubernetes", None),
            ("kubernetes", "k8s_other"),
        ):
            cluster_request.check_driver(coe, driver)
        for coe, driver in (("swarm-mode", "k8s_other"), ("kubernetes", "swarm_mode")):
            self.assertRaises(exceptions.Refused, cluster_request.check_driver, coe, driver)


class CredentialTest(base.BaseTestCase):
    def check(self, **token):
        return cluster_request.check_credential({"token": token})

    def test_password(self):
        """A user with a password needs no further look."""
        self.assertIsNone(self.check(methods=["password"]))
        self.assertIsNone(cluster_request.check_credential(None))

    def test_restricted(self):
        """A restricted application credential is refused with what to do instead."""
        for credential in ({"id": "1", "restricted": True}, {"id": "1"}):
            refusal = self.assertRaises(
                exceptions.Refused, self.check, application_credential=credential
            )
            self.assertIn("use your password", str(refusal))

    def test_delegated(self):
        """Of other delegated tokens Keystone has to be asked."""
        self.assertEqual(
            "an application credential",
            self.check(application_credential={"id": "1", "restricted": False}),
        )
        self.assertEqual("a trust", self.check(**{"OS-TRUST:trust": {"id": "1"}}))
        self.assertRaises(exceptions.Refused, cluster_request.refuse_delegation, "a trust")
