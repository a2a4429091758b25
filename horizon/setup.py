# SPDX-License-Identifier: Apache-2.0
"""Compiles the catalogues of translations when a wheel is built; all else is in pyproject.toml."""

from pathlib import Path

import setuptools
from setuptools.command import build_py


class BuildWithCatalogues(build_py.build_py):
    """Copies the package, and compiles each catalogue beside its source."""

    def run(self) -> None:
        """Compile first, so that the catalogues are copied with the rest."""
        # Not at the top: metadata is read where Babel need not be.
        from babel.messages import mofile, pofile

        for source in Path("magnum_swarm_mode_ui", "locale").glob("*/LC_MESSAGES/*.po"):
            with source.open("rb") as file:
                catalogue = pofile.read_po(file)
            with source.with_suffix(".mo").open("wb") as file:
                mofile.write_mo(file, catalogue)
        super().run()


setuptools.setup(cmdclass={"build_py": BuildWithCatalogues})
