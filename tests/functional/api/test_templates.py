# SPDX-License-Identifier: Apache-2.0
"""Cluster templates of swarm-mode at Magnum's own API."""

from tests.functional.api import base


class TemplateTest(base.MagnumTestCase):
    def post(self, **fields):
        return self.service.call("POST", "/v1/clustertemplates", self.template(**fields))

    def patch(self, template, *operations):
        return self.service.call(
            "PATCH",
            f"/v1/clustertemplates/{template['uuid']}",
            [{"op": "replace", "path": f"/{name}", "value": value} for name, value in operations],
        )

    def test_created_listed_shown(self):
        """A template is created, listed, shown and deleted like any other."""
        created = self.create_template()
        self.assertEqual("swarm-mode", created["coe"])
        self.assertEqual("swarm_mode", created["driver"])
        self.assertEqual("overlay", created["network_driver"])
        self.assertEqual("ubuntu", created["cluster_distro"])
        self.assertEqual("m1.medium", created["master_flavor_id"])
        listed = self.service.call("GET", "/v1/clustertemplates").json()["clustertemplates"]
        self.assertIn(created["uuid"], [template["uuid"] for template in listed])
        shown = self.service.call("GET", f"/v1/clustertemplates/{created['uuid']}")
        self.assertEqual("swarm-mode", shown.json()["coe"])
        deleted = self.service.call("DELETE", f"/v1/clustertemplates/{created['uuid']}")
        self.assertEqual(204, deleted.status_code)

    def test_named_explicitly(self):
        """Values that could be left out may be given."""
        created = self.create_template(
            image_id="debian",
            driver="swarm_mode",
            network_driver="overlay",
            docker_storage_driver="overlay2",
            apiserver_port=2376,
            server_type="vm",
            master_flavor_id="m1.small",
            http_proxy="http://proxy.example.com:3128",
            no_proxy="10.0.0.0/8,.example.com",
            insecure_registry="registry.example.com:5000",
            labels={"join_timeout": "300", "worker_floating_ip_enabled": True},
        )
        self.assertEqual("debian", created["cluster_distro"])
        self.assertEqual("m1.small", created["master_flavor_id"])

    def test_image_of_ours(self):
        """An image may name this driver."""
        self.assertEqual("swarm_mode", self.create_template(image_id="ours")["driver"])

    def test_refused(self):
        """Each value that cannot be honoured is a 400 that names its field."""
        for name, value in (
            ("network_driver", "flannel"),
            ("volume_driver", "rexray"),
            ("server_type", "bm"),
            ("registry_enabled", True),
            ("tls_disabled", True),
            ("master_lb_enabled", True),
            ("apiserver_port", 6443),
            ("docker_storage_driver", "btrfs"),
            ("docker_storage_driver", "devicemapper"),
            ("driver", "k8s_other"),
            ("cluster_distro", "debian"),
            ("http_proxy", "proxy"),
            ("no_proxy", "a b"),
            ("insecure_registry", "http://registry"),
            ("floating_ip_enabled", False),
            ("flavor_id", None),
            ("external_network_id", None),
        ):
            with self.subTest(name=name):
                fields = self.template(**{name: value})
                if value is None:
                    del fields[name]
                answer = self.service.call("POST", "/v1/clustertemplates", fields)
                self.assert_refused(answer, name)

    def test_unknown_engine(self):
        """An orchestration engine that nobody offers is a 400."""
        for coe in ("swarm", "mesos", "Swarm-Mode"):
            self.assert_refused(self.post(coe=coe), "coe")

    def test_images(self):
        """An image of another system, or of another driver, is a 400 that names it."""
        self.assert_refused(self.post(image_id="fedora"), "fedora-coreos", "ubuntu or debian")
        self.assert_refused(self.post(image_id="nameless"), "os_distro")
        self.assert_refused(self.post(image_id="capi"), "k8s_other", "magnum_driver")
        self.assertIn(self.post(image_id="absent").status_code, (400, 404))

    def test_labels(self):
        """A label that is unknown or has a bad value is a 400 that names it."""
        self.assert_refused(
            self.post(labels={"join_timeuot": "60"}), "join_timeuot", "did you mean join_timeout?"
        )
        self.assert_refused(
            self.post(labels={"join_timeout": "1"}), "join_timeout=1", "60 to 43200 seconds"
        )
        self.assert_refused(self.post(labels={"%(x)s %d": "1"}), "%(x)s %d")

    def test_patched(self):
        """A patch that makes sense is stored."""
        template = self.create_template()
        answer = self.patch(
            template, ("labels", "{'join_timeout': '600'}"), ("docker_volume_size", 7)
        )
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual({"join_timeout": "600"}, answer.json()["labels"])
        self.assertEqual(7, answer.json()["docker_volume_size"])

    def test_patch_refused(self):
        """A patch is held to what a new template is held to."""
        template = self.create_template()
        for name, value in (
            ("network_driver", "flannel"),
            ("volume_driver", "rexray"),
            ("server_type", "bm"),
            ("tls_disabled", "True"),
            ("master_lb_enabled", "True"),
            ("apiserver_port", 6443),
            ("coe", "kubernetes"),
            ("driver", "k8s_other"),
            ("cluster_distro", "debian"),
            ("image_id", "fedora"),
            ("image_id", "debian"),
            ("labels", "{'bogus': '1'}"),
        ):
            with self.subTest(name=name, value=value):
                answer = self.patch(template, (name, value))
                self.assertEqual(400, answer.status_code, answer.text)
        shown = self.service.call("GET", f"/v1/clustertemplates/{template['uuid']}").json()
        self.assertEqual({}, shown["labels"])
        self.assertEqual("swarm-mode", shown["coe"])

    def test_patched_to_another_image(self):
        """Image and system are changed together."""
        answer = self.patch(
            self.create_template(), ("image_id", "debian"), ("cluster_distro", "debian")
        )
        self.assertEqual(200, answer.status_code, answer.text)


class OtherDriverTest(base.MagnumTestCase):
    """Beside a driver of another engine whose name sorts before ours."""

    service_options = {"other_driver": "k8s_other"}
    other = "k8s_other"

    def kubernetes(self, **fields):
        return self.template(
            **{
                "coe": "kubernetes",
                "docker_volume_size": None,
                "network_driver": "flannel",
                # Magnum 20 and 21 answer 500 to a template of Kubernetes without it.
                "master_flavor_id": "m1.small",
                **fields,
            }
        )

    def post(self, fields):
        fields = {name: value for name, value in fields.items() if value is not None}
        return self.service.call("POST", "/v1/clustertemplates", fields)

    def test_each_engine_gets_its_own(self):
        """A template that names no driver gets one that offers its engine."""
        self.assertEqual("swarm_mode", self.create_template()["driver"])
        answer = self.post(self.kubernetes())
        self.assertEqual(201, answer.status_code, answer.text)
        self.assertEqual(self.other, answer.json()["driver"])

    def test_disagreement(self):
        """A driver that does not offer the engine is a 400 that names both."""
        self.assert_refused(self.post(self.template(driver=self.other)), self.other, "swarm-mode")
        self.assert_refused(
            self.post(self.kubernetes(driver="swarm_mode")), "swarm_mode", "kubernetes"
        )
        self.assert_refused(self.post(self.kubernetes(image_id="ours")), "swarm_mode", "kubernetes")

    def test_kubernetes_still_needs_its_load_balancer(self):
        """Several masters without load balancer stay refused for Kubernetes."""
        template = self.post(self.kubernetes()).json()
        answer = self.service.call("POST", "/v1/clusters", self.cluster(template))
        self.assert_refused(answer, "master_count must be 1 when master_lb_enabled is False")
        answer = self.service.call(
            "POST", "/v1/clusters", self.cluster(template, master_lb_enabled=True)
        )
        self.assertEqual(202, answer.status_code, answer.text)

    def test_kubernetes_labels_are_its_own(self):
        """Labels and fields of other engines are not our business."""
        answer = self.post(self.kubernetes(labels={"kube_tag": "v1"}, tls_disabled=True))
        self.assertEqual(201, answer.status_code, answer.text)


class LaterDriverTest(OtherDriverTest):
    """Beside a driver of another engine whose name sorts after ours."""

    service_options = {"other_driver": "zz_other"}
    other = "zz_other"


class ConfiguredDefaultTest(OtherDriverTest):
    """Where the operator made ours the default of all templates."""

    service_options = {
        "other_driver": "k8s_other",
        "extra": "[drivers]\ndefault_driver = swarm_mode",
    }


class NotInstalledTest(base.MagnumTestCase):
    """Without the package."""

    service_options = {"installed": False, "registered": False, "other_driver": "k8s_other"}

    def test_unknown(self):
        """Magnum alone does not know swarm-mode, so that the other tests show something."""
        answer = self.service.call("POST", "/v1/clustertemplates", self.template())
        self.assert_refused(answer, "coe")


class ImportOnlyTest(base.MagnumTestCase):
    """Installed, but not named in the configuration."""

    service_options = {"registered": False}

    def test_admitted(self):
        """Magnum 23 learns swarm-mode by loading the driver."""
        self.assertEqual("swarm_mode", self.create_template()["driver"])
        listed = self.service.call("GET", "/v1/clustertemplates")
        self.assertEqual(200, listed.status_code)
