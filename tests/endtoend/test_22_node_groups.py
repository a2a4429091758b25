# SPDX-License-Identifier: Apache-2.0
from tests.endtoend import base, living, parts


class TestNodeGroups(base.EndToEndTestCase):
    """Further groups of workers beside the first."""

    beside = "conductors"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(living.remove)

    def test_life(self) -> None:
        """A group is created, labelled, used by a constraint, resized, and deleted without a trace;
        another one has its own image and bounds, and goes with the cluster."""
        parts.end("groups")
