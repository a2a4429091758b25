# SPDX-License-Identifier: Apache-2.0
"""What tests of the one-machine cloud share: a home of their own below a temporary directory."""

from pathlib import Path

import fixtures
from oslotest import base

DIRECTORIES = {"RUN": "run", "LOG": "log", "DATA": "data", "ETC": "etc", "IMAGES": "images"}


class TestCase(base.BaseTestCase):
    """A test with a home directory that nothing else uses."""

    def setUp(self) -> None:
        super().setUp()
        self.home = Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MonkeyPatch("devcloud.settings.HOME", self.home))
        for name, directory in DIRECTORIES.items():
            path = self.home / directory
            path.mkdir()
            self.useFixture(fixtures.MonkeyPatch(f"devcloud.settings.{name}", path))
