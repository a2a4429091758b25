# SPDX-License-Identifier: Apache-2.0
import io
import logging
import pathlib
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from oslotest import base

from magnum_swarm_mode import log

PACKAGE = pathlib.Path(log.__file__).parent
HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
EVIL = "a\x1b[31m\x07\u202e\u2066\u2028\n2026-01-01 INFO evil\x9bz"
NAME = "magnum_swarm_mode.tests.log"


class LogTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.log = log.of(NAME)
        self.log.logger.setLevel(logging.DEBUG)

    def written(self, write):
        """Return the lines that an entry has become."""
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger = self.log.logger
        logger.addHandler(handler)
        propagates, logger.propagate = logger.propagate, False
        try:
            write()
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates
        return stream.getvalue().splitlines()

    @given(st.text() | st.just(EVIL))
    def test_entries(self, words):
        """An entry is one line without harmful characters, wherever the words stand in it."""
        for write in (
            lambda: self.log.warning("Cluster %s: %s", words, ValueError(words)),
            lambda: self.log.info(words.replace("%", "")),
        ):
            lines = self.written(write)
            self.assertLessEqual(len(lines), 1)
            self.assert_harmless(lines)

    def test_length(self):
        """An entry has an end."""
        (line,) = self.written(lambda: self.log.error("%s", "x" * 10**6))
        self.assertLess(len(line), 11_000)

    def test_traceback(self):
        """A traceback shows all exceptions with their types and causes, each on one line."""

        def fail():
            try:
                try:
                    raise KeyError(EVIL)
                except KeyError as error:
                    raise RuntimeError(f"{EVIL}\nTraceback") from error
            except RuntimeError:
                self.log.exception("It failed")

        lines = self.written(fail)
        self.assert_harmless(lines)
        self.assertEqual("ERROR It failed", lines[0])
        self.assertTrue(any(line.startswith("KeyError: ") for line in lines), lines)
        self.assertTrue(lines[-1].startswith("RuntimeError: a"), lines)
        self.assertTrue(any("direct cause" in line for line in lines))
        self.assertTrue(any("in fail" in line for line in lines))
        self.assertFalse(any(line.startswith(("2026", "evil")) for line in lines), lines)

    def test_without_words(self):
        """An exception that cannot say what it is does not keep an entry from the log."""

        class Mute(Exception):  # noqa: N818 (the word says it)
            def __str__(self):
                raise ValueError

        def fail():
            try:
                raise Mute
            except Mute:
                self.log.exception("It failed")

        lines = self.written(fail)
        self.assertIn("Mute: (ValueError in its words)", lines[-1])

    def assert_harmless(self, lines):
        for line in lines:
            bad = {sign for sign in line if unicodedata.category(sign) in HARMFUL}
            self.assertEqual(set(), bad, repr(line)[:300])


class LoggersTest(base.BaseTestCase):
    def test_all_loggers(self):
        """No module of the package has another logger."""
        apart = {"log.py"}
        for path in sorted(PACKAGE.rglob("*.py")):
            name = str(path.relative_to(PACKAGE))
            if name in apart or name.startswith(("node/", "db/alembic/")):
                continue
            source = path.read_text()
            self.assertFalse("oslo_log" in source, name)
            self.assertFalse("getLogger" in source, name)
