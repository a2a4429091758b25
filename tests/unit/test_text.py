# SPDX-License-Identifier: Apache-2.0
import time

import hypothesis
from hypothesis import strategies
from oslotest import base

from magnum_swarm_mode import text
from magnum_swarm_mode.node.base import system


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

    def test_bidirectional(self):
        """Characters that change the direction, or that nobody sees, are replaced."""
        for sign in "\u202a\u202e\u2066\u2069\u200b\u200f\u061c\ufeff\u2028\u2029\x9b":
            self.assertEqual("a\ufffdb", text.storable(f"a{sign}b"))
            self.assertEqual("a\ufffdb", text.shown(f"a{sign}b"))

    def test_shown(self):
        """On a terminal the characters beyond the plane stay."""
        self.assertEqual("node \U0001f41b\n", text.shown("node \U0001f41b\n"))

    def test_line(self):
        """A line is one line, and no longer than it may be."""
        self.assertEqual("a b c", text.line(" a\n\tb \r c "))
        self.assertEqual("ab…", text.line("abcd", 3))
        self.assertEqual("None", text.line(None))
        self.assertLessEqual(len(text.line("a" + " " * 10_000_000 + "b", 10)), 10)

    def test_cost(self):
        """A long text costs what its kept part does."""
        began = time.thread_time()
        for part in (" ", "x", "\x1b", "\u202e ", "\n\n"):
            text.line(part * 5_000_000)
            text.storable(part * 5_000_000)
        self.assertLess(time.thread_time() - began, 1.0)

    @hypothesis.given(strategies.text(strategies.characters(codec=None), max_size=6000))
    def test_any(self, value):
        """Whatever comes can be encoded in three bytes for each of at most 4000 characters."""
        self.assertLessEqual(len(text.storable(value).encode()), 3 * text.LONGEST)


class ParsedTest(base.BaseTestCase):
    def test_depth(self):
        """JSON is read up to 100 levels deep, on either side."""
        for parsed in (text.parsed, system.parsed):
            for opening, closing in (("[", "]"), ('{"a":', "}")):
                self.assertTrue(parsed(f"{opening * 100}1{closing * 100}"))
                self.assertRaises(ValueError, parsed, f"{opening * 101}1{closing * 101}")
                self.assertRaises(ValueError, parsed, f"{opening * 5000}1{closing * 5000}")
