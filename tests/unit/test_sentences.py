# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from magnum_swarm_mode import sentences


class FailedTest(base.BaseTestCase):
    def test_request(self):
        """A failure that names nothing begins with the request."""
        self.assertEqual(
            "The creation of the cluster failed: Keystone does not answer.",
            sentences.failed(sentences.CREATION, "Keystone does not answer."),
        )

    def test_named(self):
        """A failure that names its request, or a node, stays as it is."""
        for why, names in (
            ("The creation of the cluster failed: No room.", ()),
            ("The server c-worker-0 failed: No room.", ("c-worker-1", "c-worker-0")),
        ):
            self.assertEqual(why, sentences.failed(sentences.CREATION, why, names))

    def test_nameless(self):
        """A node without a name names nothing."""
        self.assertEqual(
            "The deletion of the cluster failed: No.",
            sentences.failed(sentences.DELETION, "No.", [""]),
        )


class ChangeTest(base.BaseTestCase):
    def test_groups(self):
        """A change is one of its node groups, or of the cluster where these are not known."""
        self.assertEqual("The change of a, b", sentences.change_of(["a", "b"]))
        self.assertEqual("The upgrade of the cluster", sentences.change_of(kind="upgrade"))
