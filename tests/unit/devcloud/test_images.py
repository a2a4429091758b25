# SPDX-License-Identifier: Apache-2.0
import dataclasses

from devcloud import images
from tests.unit.devcloud import base

BASE, OLD, NEW = images.RECIPES


class RecipeTest(base.TestCase):
    def test_hash_follows_contents(self) -> None:
        """One package more makes another image."""
        more = dataclasses.replace(OLD, packages=(*OLD.packages, "vim"))
        self.assertNotEqual(OLD.hash, more.hash)
        self.assertEqual(OLD.hash, dataclasses.replace(OLD).hash)

    def test_hash_follows_base(self) -> None:
        """An image is made again when the one below it is another one."""
        base = dataclasses.replace(BASE, packages=(*BASE.packages, "vim"))
        self.assertNotEqual(OLD.hash, dataclasses.replace(OLD, base=base).hash)

    def test_base_has_no_engine(self) -> None:
        """The image below the others lacks what nodes can install."""
        self.assertIsNone(BASE.base)
        self.assertEqual((), BASE.docker_packages)
        self.assertFalse({"docker.io", "haproxy", "iptables"} & set(BASE.packages))

    def test_docker_of_another_suite(self) -> None:
        """Only Docker comes from the newer suite; everything else stays with the base."""
        sources = images.sources_text(NEW, "http://mirror/debian")
        self.assertIn("deb http://mirror/debian trixie main\n", sources)
        self.assertIn("deb http://mirror/debian-security bookworm-security main\n", sources)
        preferences = images.preferences_text(NEW)
        self.assertIn("Package: *\nPin: release n=trixie\nPin-Priority: 100\n", preferences)
        self.assertIn("Package: docker.io docker-cli\n", preferences)

    def test_docker_of_the_base(self) -> None:
        """The older image knows the base suite only."""
        self.assertNotIn("trixie", images.sources_text(OLD, "http://mirror/debian"))


class CurrentTest(base.TestCase):
    def _make(self, directory: str) -> None:
        (self.home / "images" / directory).mkdir()
        (self.home / "images" / OLD.name).unlink(missing_ok=True)
        (self.home / "images" / OLD.name).symlink_to(directory)

    def test_missing(self) -> None:
        """Without an image there is something to do."""
        self.assertFalse(images.is_current(OLD))

    def test_present(self) -> None:
        """An image of the present recipe is used again."""
        self._make(images.directory_name(OLD))
        self.assertTrue(images.is_current(OLD))

    def test_other_recipe(self) -> None:
        """An image of an older recipe is made again."""
        self._make(f"{OLD.name}-000000000000")
        self.assertFalse(images.is_current(OLD))

    def test_link_into_nothing(self) -> None:
        """A name that leads nowhere is no image."""
        (self.home / "images" / OLD.name).symlink_to(images.directory_name(OLD))
        self.assertFalse(images.is_current(OLD))

    def test_prune(self) -> None:
        """Old recipes go, present images, links and strangers stay."""
        self._make(f"{OLD.name}-000000000000")
        self._make(images.directory_name(OLD))
        (self.home / "images" / "mine").mkdir()
        images.prune()
        self.assertEqual(
            sorted([OLD.name, images.directory_name(OLD), "mine"]),
            sorted(path.name for path in (self.home / "images").iterdir()),
        )


class MirrorTest(base.TestCase):
    def test_one_line_format(self) -> None:
        """The mirror of a sources.list is used, its options skipped."""
        text = "# x\ndeb [arch=amd64 signed-by=/k] http://m.example/debian/ bookworm main\n"
        self.assertEqual("http://m.example/debian", images.find_mirror([text]))

    def test_deb822_format(self) -> None:
        """So is that of a .sources file."""
        text = "Types: deb\nURIs: https://m.example/debian\nSuites: bookworm\n"
        self.assertEqual("https://m.example/debian", images.find_mirror([text]))

    def test_without_tls(self) -> None:
        """Nodes name the mirror without TLS."""
        self.assertEqual("http://m/debian", images.mirror_for_nodes("https://m/debian"))
        self.assertEqual("http://m/debian", images.mirror_for_nodes("http://m/debian"))

    def test_dates(self) -> None:
        """Nodes believe of the mirror's dates what the machine believes, and nothing else."""
        dump = (
            'Acquire::http::Proxy "http://user:secret@proxy:1";\n'
            'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n'
        )
        self.assertEqual(
            'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n',
            images.dates_text(dump),
        )

    def test_other_archives(self) -> None:
        """Archives of other makers and the security archive are not mirrors of Debian."""
        texts = [
            "deb https://packages.example/apt cloud main\n",
            "deb http://m.example/debian-security bookworm-security main\n",
        ]
        self.assertEqual("http://deb.debian.org/debian", images.find_mirror(texts))
