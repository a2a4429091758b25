# SPDX-License-Identifier: Apache-2.0
import hypothesis
from hypothesis import strategies
from oslotest import base

from magnum_swarm_mode import text


class StorableTest(base.BaseTestCase):
    def test_plain(self):
        """Text of any script stays as it is, lines included."""
        for value in ("Worker 2: disk full.\n\tsee Größe", "節點", ""):
            self.assertEqual(value, text.storable(value))

    def test_beyond_the_plane(self):
        """A character that utf8mb3 does not know is replaced."""
        self.assertEqual("node \ufffd failed", text.storable("node \U0001f41b failed"))

    def test_control_characters(self):
        """Control characters and lone surrogates are replaced."""
        self.assertEqual("a\ufffdb\ufffdc\ufffd", text.storable("a\0b\x1bc\ud800"))

    def test_long(self):
        """A text that is too long ends with an ellipsis."""
        self.assertEqual("abc…", text.storable("abcdef", 4))
        self.assertEqual("abcd", text.storable("abcd", 4))

    @hypothesis.given(strategies.text(strategies.characters(codec=None), max_size=6000))
    def test_any(self, value):
        """Whatever comes can be encoded in three bytes for each of at most 4000 characters."""
        self.assertLessEqual(len(text.storable(value).encode()), 3 * text.LONGEST)
