# SPDX-License-Identifier: Apache-2.0
"""Folders stay small enough to read, and tests lie where what they test lies."""

import pathlib
from collections.abc import Iterator

from oslotest import base

import magnum_swarm_mode

PACKAGE = pathlib.Path(magnum_swarm_mode.__file__).resolve().parent
TESTS = pathlib.Path(__file__).resolve().parents[1]
MOST_LINES = 500
MOST_MODULES = 12
# Folders of tests of what is not in the package.
OTHERS = {
    "unit": {
        "acceptance",
        "benchmarks",
        "cases",
        "demo",
        "devcloud",
        "devcloud_dataplane",
        "documentation",
        "guards",
    },
    "functional": {
        "devcloud",
        "devcloud_dataplane",
        "documentation",
        "fuzz",
        "packaging",
        "releases",
    },
}


def folders(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return the folders with Python modules below a folder, and itself."""
    return (path for path in (root, *root.rglob("*")) if any(path.glob("*.py")))


class LayoutTest(base.BaseTestCase):
    def test_modules(self):
        """No module of the package has more than 500 lines."""
        for path in PACKAGE.rglob("*.py"):
            name = str(path.relative_to(PACKAGE))
            lines = len(path.read_text(encoding="utf-8").splitlines())
            self.assertLessEqual(lines, MOST_LINES, name)

    def test_folders(self):
        """No folder of the package has more than twelve modules."""
        for folder in folders(PACKAGE):
            modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            self.assertLessEqual(len(modules), MOST_MODULES, str(folder))

    def test_mirror(self):
        """Each folder of tests is called as the folder of the package that its tests are of."""
        known = {str(folder.relative_to(PACKAGE)) for folder in folders(PACKAGE)}
        for suite, others in OTHERS.items():
            found = {str(folder.relative_to(TESTS / suite)) for folder in folders(TESTS / suite)}
            self.assertEqual(set(), found - known - others, suite)

    def test_every_module_of_tests_is_found(self):
        """Each folder with tests is a package: in another one no test would be found."""
        for folder in folders(TESTS):
            self.assertTrue((folder / "__init__.py").exists(), str(folder))
