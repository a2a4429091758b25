# SPDX-License-Identifier: Apache-2.0
import argparse
from pathlib import Path

import fixtures

from devcloud import cli, configuration, environment, files, openstack_services, releases, settings
from devcloud.errors import DevcloudError
from tests.unit.devcloud import base
from tests.unit.devcloud.test_configuration import SECRETS

OLD = releases.Release("21.0.1")


class ReleaseTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch("devcloud.settings.RELEASES", self.home / "releases"))

    def test_default_is_what_is_pinned(self) -> None:
        """The release among all services is the one whose version is pinned with theirs."""
        pinned = environment.CONSTRAINTS.read_text(encoding="utf-8").splitlines()
        self.assertIn(f"magnum=={releases.DEFAULT.version}", pinned)
        self.assertEqual(settings.VENV, releases.DEFAULT.venv)
        self.assertEqual("magnum", releases.DEFAULT.database)

    def test_apart(self) -> None:
        """Every release has an environment and a database of its own, and all are created."""
        self.assertEqual(4, len({release.venv for release in releases.ALL}))
        names = [release.database for release in releases.ALL]
        self.assertEqual(["magnum_20", "magnum_21", "magnum_22", "magnum"], names)
        self.assertEqual(set(), set(names) - set(configuration.DATABASES))

    def test_constraints(self) -> None:
        """Another release is installed with the same versions of everything else."""
        ours = set(environment.CONSTRAINTS.read_text(encoding="utf-8").splitlines())
        its = set(OLD.constraints().splitlines())
        self.assertEqual({"magnum==21.0.1"}, its - ours)
        self.assertEqual({f"magnum=={releases.DEFAULT.version}"}, ours - its)

    def test_current(self) -> None:
        """An environment is made again when it is incomplete or versions changed."""
        self.assertFalse(OLD.is_current)
        files.write(OLD.python, "")
        self.assertFalse(OLD.is_current)
        files.write(OLD._stamp, OLD._wanted())
        self.assertTrue(OLD.is_current)
        pins = self.home / "constraints"
        files.write(pins, "a==1\n")
        self.useFixture(fixtures.MonkeyPatch("devcloud.environment.CONSTRAINTS", pins))
        self.assertFalse(OLD.is_current)

    def test_remembered(self) -> None:
        """The release that was started last is known until the cloud's data goes."""
        self.assertEqual(releases.DEFAULT, releases.chosen())
        releases.choose(OLD)
        self.assertEqual(OLD, releases.chosen())
        (self.home / "data" / "done.json").unlink()
        self.assertEqual(releases.DEFAULT, releases.chosen())

    def test_unknown(self) -> None:
        """One that is not offered is an error that names those that are."""
        error = self.assertRaises(DevcloudError, releases.find, "19.0.0")
        self.assertIn("20.0.2, 21.0.1, 22.0.0, 23.0.0", str(error))

    def test_command_line(self) -> None:
        """Without a word on it the newest one runs."""

        def release(*words: str) -> str:
            options: argparse.Namespace = cli.parser().parse_args(["up", *words])
            return str(options.magnum)

        self.assertEqual(settings.MAGNUM_RELEASE, release())
        self.assertEqual("20.0.2", release("--magnum", "20.0.2"))


class SwitchTest(base.TestCase):
    """What differs between a cloud with one release and with another."""

    def _services(self, release: releases.Release) -> dict[str, str]:
        rendered = configuration.render(SECRETS, release=release)
        versions = openstack_services.Versions("1", "2", "3")
        found = openstack_services.Catalogue(rendered, versions, {}, release).services()
        return {service.name: service.fingerprint for service in found}

    def test_only_magnum(self) -> None:
        """Another release restarts Magnum's services and nothing else."""
        before, after = self._services(releases.DEFAULT), self._services(OLD)
        self.assertEqual(
            {"magnum-api", "magnum-conductor"}, {n for n in before if before[n] != after[n]}
        )

    def test_tables(self) -> None:
        """Another release's tables are made by its own command, in its own database."""
        tables = [t.service for t in openstack_services.all_tables(SECRETS, OLD)]
        self.assertIn("magnum_21", tables)
        self.assertNotIn("magnum", tables)
        text = configuration.render(SECRETS, release=OLD)["magnum/magnum.conf"]
        self.assertIn("/magnum_21?", text)
        self.assertIn(str(Path(OLD.venv, "etc/magnum/api-paste.ini")), text)
