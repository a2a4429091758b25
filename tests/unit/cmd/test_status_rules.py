# SPDX-License-Identifier: Apache-2.0
"""What an installation is told to change."""

from oslotest import base

from magnum_swarm_mode.cmd import status_rules
from magnum_swarm_mode.cmd.status_rules import Level


class RulesTest(base.BaseTestCase):
    def assert_finding(self, level, finding, *words):
        self.assertEqual(level, finding.level, finding.text)
        for word in words:
            self.assertIn(word, finding.text)

    def test_registered(self):
        """Up to Magnum 22 the configuration must name the package; 23 finds it by itself."""
        look = status_rules.registered
        self.assert_finding(Level.SUCCESS, look("20.0.2", True, True, ()))
        self.assert_finding(
            Level.FAILURE, look("22.0.0", False, True, ()), "config_source = swarm_mode"
        )
        self.assert_finding(Level.SUCCESS, look("23.0.0", False, True, ()), "config_source")
        self.assert_finding(Level.FAILURE, look("23.0.0", True, False, ()), "install")
        self.assert_finding(
            Level.FAILURE, look("23.0.0", True, True, ["swarm_mode"]), "disabled_drivers"
        )

    def test_service_type(self):
        """Keystone's middleware must know the type of service."""
        self.assert_finding(Level.SUCCESS, status_rules.service_type("container-infra"))
        for value in (None, "container"):
            self.assert_finding(
                Level.FAILURE,
                status_rules.service_type(value),
                "service_type = container-infra in [keystone_authtoken]",
            )

    def test_region(self):
        """Where there are several regions one must be named, and it must exist."""
        look = status_rules.region
        self.assert_finding(Level.SUCCESS, look(None, {"one"}), "one")
        self.assert_finding(Level.SUCCESS, look("two", {"one", "two"}), "two")
        self.assert_finding(Level.FAILURE, look(None, {"one", "two"}), "one, two", "[heat_client]")
        self.assert_finding(Level.FAILURE, look("three", {"one"}), "three", "one")

    def test_endpoints(self):
        """Nodes must reach each endpoint, by https if possible."""

        def look(url):
            return status_rules.endpoints({"identity": "https://a.example.com", "image": url})

        self.assert_finding(Level.SUCCESS, look("https://b.example.com:9292/v2"))
        self.assert_finding(Level.SUCCESS, look("https://203.0.113.7"))
        self.assert_finding(Level.FAILURE, look(None), "no public endpoint of image")
        for url in (
            "http://localhost:9292",
            "https://127.0.0.1",
            "http://[::1]:9292",
            "http://0.0.0.0",
            "http://169.254.169.254",
            "https://localhost.localdomain",
            "",
        ):
            self.assertEqual(Level.FAILURE, look(url).level, url)
        for url in ("https://controller:9292", "https://api.internal", "https://vip.local."):
            self.assert_finding(Level.WARNING, look(url), url, "DNS")
        self.assert_finding(
            Level.WARNING, look("http://b.example.com"), "clear text", "openstack_ca_file"
        )

    def test_trust(self):
        """Magnum 20 to 22 needs a domain for its users; 23 has no such options."""
        look = status_rules.trust
        self.assert_finding(Level.SUCCESS, look("23.0.0", None))
        options = {
            "trustee_domain_id": "1",
            "trustee_domain_admin_name": "admin",
            "trustee_domain_admin_password": "secret",
        }
        self.assert_finding(Level.SUCCESS, look("22.0.0", options))
        finding = look("21.0.1", options | {"trustee_domain_admin_password": None})
        self.assert_finding(Level.FAILURE, finding, "set trustee_domain_admin_password in [trust]")
        self.assert_finding(
            Level.FAILURE, look("20.0.2", {}), "trustee_domain_name, trustee_domain_admin_name"
        )

    def test_conductors(self):
        """Several conductors need a database that can be shared, and names of their own."""
        look = status_rules.conductors
        self.assert_finding(Level.WARNING, look(0, "mysql", "a"), "start it")
        self.assert_finding(Level.SUCCESS, look(1, "mysql", "a"))
        self.assert_finding(Level.WARNING, look(1, "mysql", None), "host in [DEFAULT]")
        self.assert_finding(Level.SUCCESS, look(3, "postgresql", "a"), "3", "[DEFAULT] host")
        self.assert_finding(Level.FAILURE, look(1, "sqlite", "a"), "[database] connection")

    def test_certificates(self):
        """Keys are kept where every conductor finds them."""
        look = status_rules.certificates
        self.assert_finding(Level.SUCCESS, look("x509keypair", False))
        self.assert_finding(Level.SUCCESS, look("barbican", True))
        self.assert_finding(Level.FAILURE, look("barbican", False), "key-manager")
        self.assert_finding(Level.FAILURE, look("local", False), "barbican", "x509keypair")

    def test_messaging(self):
        """The message queue must be one that processes share, and answer."""
        look = status_rules.messaging
        self.assert_finding(Level.SUCCESS, look("rabbit", {}, 2))
        self.assert_finding(Level.WARNING, look("rabbit", {"a:5672": "refused"}, 2), "a:5672")
        self.assert_finding(Level.FAILURE, look("rabbit", {"a:5672": "refused"}, 1), "refused")
        self.assert_finding(Level.FAILURE, look("fake", {}, 0), "transport_url")

    def test_table(self):
        """The table is brought up to date by itself; a newer one tells of an old host."""
        look = status_rules.table
        self.assert_finding(Level.SUCCESS, look("2", "2", {"1", "2"}))
        self.assert_finding(Level.SUCCESS, look("1", "2", {"1", "2"}), "older", "right to create")
        self.assert_finding(Level.SUCCESS, look(None, "2", {"1", "2"}), "not there yet")
        self.assert_finding(Level.WARNING, look("3", "2", {"1", "2"}), "newer release")

    def test_templates(self):
        """A copy of the templates must be complete."""
        look = status_rules.templates
        self.assert_finding(Level.SUCCESS, look("", (), ()))
        self.assert_finding(Level.SUCCESS, look("/etc/heat", (), ()))
        self.assert_finding(
            Level.FAILURE, look("/etc/heat", {"b", "a"}, ["c is old"]), "a is missing; b", "c is"
        )

    def test_old_clusters(self):
        """Clusters of old drivers are to be deleted, best before Magnum forgets their users."""
        look = status_rules.old_clusters
        self.assert_finding(Level.SUCCESS, look(0, True))
        self.assert_finding(Level.WARNING, look(2, True), "2", "upgraded to 23")
        self.assert_finding(Level.WARNING, look(2, False), "uuid")
