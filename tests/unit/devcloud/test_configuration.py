# SPDX-License-Identifier: Apache-2.0
import configparser
import re

from devcloud import configuration, passwords
from tests.unit.devcloud import base

SECRETS = passwords.complete({})


def _parse(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


class RenderTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.rendered = configuration.render(SECRETS)

    def test_all_files(self) -> None:
        """The list of files names exactly those that are rendered."""
        self.assertEqual(set(configuration.FILES), set(self.rendered))

    def test_same_every_time(self) -> None:
        """Equal passwords give equal files, so that nothing restarts without a reason."""
        self.assertEqual(configuration.render(SECRETS), self.rendered)

    def test_nova_compute_names_no_database(self) -> None:
        """nova-compute refuses a configuration with a database, the others need it."""
        compute = _parse(self.rendered["nova-compute/nova-compute.conf"])
        self.assertEqual([], [name for name in compute.sections() if "database" in name])
        self.assertIn("database", _parse(self.rendered["nova/nova.conf"]).sections())

    def test_magnum(self) -> None:
        """Magnum admits the driver's cluster type."""
        magnum = _parse(self.rendered["magnum/magnum.conf"])
        self.assertEqual("swarm_mode", magnum.get("DEFAULT", "config_source"))
        self.assertEqual("magnum_swarm_mode", magnum.get("swarm_mode", "driver"))
        self.assertEqual("container-infra", magnum.get("keystone_authtoken", "service_type"))

    def test_no_password_of_the_prototype(self) -> None:
        """Every service password is random."""
        words = set(re.findall(r"password = (\S+)", "\n".join(self.rendered.values())))
        self.assertEqual(
            {SECRETS[key] for key in ("service", "heat_domain", "magnum_domain")}, words
        )

    def test_encryption_key_of_heat(self) -> None:
        """Heat's key has the 32 characters that Heat demands."""
        heat = _parse(self.rendered["heat/heat.conf"])
        self.assertEqual(32, len(heat.get("DEFAULT", "auth_encryption_key")))


class IniTest(base.TestCase):
    def test_sections(self) -> None:
        """Sections and options appear in their order."""
        self.assertEqual(
            "[a]\nx = 1\ny = 2\n\n[b]\n", configuration.ini({"a": {"x": "1", "y": "2"}, "b": {}})
        )
