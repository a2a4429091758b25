# SPDX-License-Identifier: Apache-2.0
from tests.endtoend import base, parts


class TestManagers(base.EndToEndTestCase):
    """Managers come and go, and one is lost."""

    beside = "conductors"

    def test_up_and_down(self) -> None:
        """1, 3 and 1 managers, with --long 5 between, the leader among those that go; a lost one is
        seen, keeps the others from being removed, and is replaced; so are an engine that is
        stopped, a node without network and an API that cannot be reached."""
        parts.end("managers")
