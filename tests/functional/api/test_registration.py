# SPDX-License-Identifier: Apache-2.0
"""Magnum's own processes learn swarm-mode, or do not start."""

from oslotest import base as test_base

from tests.functional.api import base


class CommandTest(base.MagnumTestCase):
    """The command magnum-api, which reads its objects through the conductor."""

    service_options = {"kind": "command"}

    def test_admitted(self):
        """A template is created, listed and shown."""
        created = self.create_template()
        self.assertEqual("swarm_mode", created["driver"])
        listed = self.service.call("GET", "/v1/clustertemplates").json()["clustertemplates"]
        self.assertEqual({"swarm-mode"}, {template["coe"] for template in listed})
        self.assert_refused(
            self.service.call("POST", "/v1/clustertemplates", self.template(coe="mesos")), "coe"
        )
        self.assert_refused(
            self.service.call("POST", "/v1/clustertemplates", self.template(tls_disabled=True)),
            "tls_disabled",
        )


class ImportOnlyCommandTest(CommandTest):
    """The same, where only the installed driver tells Magnum 23."""

    service_options = {"kind": "command", "registered": False}


class ConductorTest(test_base.BaseTestCase):
    def test_admitted(self):
        """The conductor reads a template of swarm-mode and sends it over RPC."""
        for registered in (True, False):
            with (
                self.subTest(registered=registered),
                base.MagnumService("conductor", registered=registered) as service,
            ):
                self.assertEqual('["swarm-mode"]\n', service.journal.read_text())


class BadOptionsTest(test_base.BaseTestCase):
    def test_stopped(self):
        """An option that no cluster could be created with stops the service, and is named."""
        for options, words in (
            ("join_timeout = 5", ["join_timeout: Should be greater than or equal to 60"]),
            ("address_pools = 10.0.0.1/8", ["address_pools: '10.0.0.1/8' is not an IPv4"]),
            ("swarm_address_pool = 10.9.0.0/24", ["swarm_address_pool=10.9.0.0/24"]),
            ("docker_api_timeout = soon", ["docker_api_timeout: "]),
        ):
            with (
                self.subTest(options=options),
                base.MagnumService(None, options=options) as service,
            ):
                result = service.run_magnum("api", check=False)
                self.assertEqual(1, result.returncode)
                last = result.stderr.strip().splitlines()[-1]
                for word in ["[swarm_mode] in magnum.conf is not valid", *words]:
                    self.assertIn(word, last)


class CommandsTest(test_base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.service = self.useFixture(base.MagnumService(None))

    def test_other_commands(self):
        """Magnum's other commands run with the same configuration."""
        self.service.run_magnum("db_manage", "version")
        self.assertIn("Upgrade Check", self.service.run_magnum("status", "upgrade", "check").stdout)

    def test_unknown_inside(self):
        """A Magnum whose inside is unknown does not start, and says why in one sentence."""
        for before, reason in (
            (
                "from magnum.objects import fields; fields.ClusterType.ALL = ['kubernetes']",
                "lists no orchestration engines",
            ),
            (
                "from magnum.api import attr_validator; "
                "attr_validator.validate_os_resources = lambda context, template: None",
                "attr_validator.validate_os_resources takes (context, template) instead of "
                "(context, cluster_template, cluster)",
            ),
            (
                "from magnum.api import attr_validator; del attr_validator.validate_master_count",
                "magnum.api.attr_validator.validate_master_count does not exist",
            ),
            (
                "from magnum.api import hooks; del hooks.ContextHook.before",
                "magnum.api.hooks.ContextHook.before does not exist",
            ),
        ):
            with self.subTest(reason=reason):
                result = self.service.run_magnum("api", check=False, before=before)
                self.assertEqual(1, result.returncode)
                last = result.stderr.strip().splitlines()[-1]
                self.assertIn("magnum-swarm-mode does not fit the Magnum that is installed", last)
                self.assertIn(reason, last)
