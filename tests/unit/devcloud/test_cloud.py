# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable
from pathlib import Path

import fixtures

from devcloud import cloud, files, images
from devcloud.openstack_services import Tables
from tests.unit.devcloud import base


class TablesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.done: list[str] = []
        self.tables = Tables("heat", ("heat",), lambda: self.done.append("made"))

    def _empty(self, names: Iterable[str]) -> None:
        self.done.append(f"emptied {' '.join(names)}")

    def test_first_time(self) -> None:
        """Tables that were never complete are made in an empty database."""
        cloud._make_tables(self.tables, "1", self._empty)
        self.assertEqual(["emptied heat", "made"], self.done)

    def test_again(self) -> None:
        """Tables of this version are left alone."""
        cloud._make_tables(self.tables, "1", self._empty)
        self.done.clear()
        cloud._make_tables(self.tables, "1", self._empty)
        self.assertEqual([], self.done)

    def test_other_version(self) -> None:
        """Complete tables of another version are upgraded with what is in them."""
        cloud._make_tables(self.tables, "1", self._empty)
        self.done.clear()
        cloud._make_tables(self.tables, "2", self._empty)
        self.assertEqual(["made"], self.done)

    def test_interrupted(self) -> None:
        """What was interrupted begins anew."""

        def interrupted() -> None:
            raise KeyboardInterrupt

        broken = Tables("heat", ("heat",), interrupted)
        self.assertRaises(KeyboardInterrupt, cloud._make_tables, broken, "1", self._empty)
        cloud._make_tables(self.tables, "1", self._empty)
        self.assertEqual(["emptied heat", "emptied heat", "made"], self.done)


class PurgeTest(base.TestCase):
    def test_home_is_gone(self) -> None:
        """Nothing of the home remains, and what a link in it leads to stays."""
        outside = Path(self.useFixture(fixtures.TempDir()).path)
        directory = self.home / "images" / images.directory_name(images.RECIPES[0])
        files.write(directory / "etc" / "hostname", "x")
        (self.home / "images" / images.RECIPES[0].name).symlink_to(directory.name)
        (self.home / "images" / "elsewhere").symlink_to(outside)
        cloud._remove_home()
        self.assertFalse(self.home.exists())
        self.assertTrue(outside.is_dir())
        self.home.mkdir()  # for the fixture, which removes it
