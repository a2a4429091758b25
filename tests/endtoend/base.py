# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test is."""

import functools
import os
import tempfile
from pathlib import Path

from oslotest import base

from devcloud import environment, settings
from devcloud.demo import rest
from tests.endtoend import users
from tests.endtoend.users import User


def cloud_answers() -> bool:
    """Whether Keystone answers."""
    try:
        rest.request("GET", f"{settings.AUTH_URL}/", timeout=10)
    except (rest.UnreachableError, rest.RestError):
        return False
    return True


@functools.cache
def is_current() -> bool:
    """Whether the services load the driver of this checkout."""
    return environment.installed_hash() == environment.source_hash()


class EndToEndTestCase(base.BaseTestCase):
    """Fails with one sentence when there is no cloud to test against.

    :ivar beside: tests of different names run at the same time, those of one name follow each
        other; without a name a test runs alone, after them. Most compare everything there is
        before and after, restart services, or do much at once. Those that start and stop further
        conductors must bear one name; others may kill one that runs, which starts again at once.
    :ivar long: only ``tools/test --long`` runs them
    """

    beside: str = ""
    long: bool = False

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.fail("The end-to-end tests look into machines and need to be run as root.")
        if not cloud_answers():
            self.fail("The one-machine cloud does not run: start it with `tools/devcloud up`.")
        if not is_current():
            self.fail("Magnum runs another driver than this checkout's: `tools/devcloud up`.")
        self.demo: User = users.demo()
        self.admin: User = users.admin()

    def temporary_directory(self) -> Path:
        """A directory of the test's own, gone afterwards."""
        directory = tempfile.TemporaryDirectory(prefix="swarm-mode-test-")
        self.addCleanup(directory.cleanup)
        return Path(directory.name)
