# SPDX-License-Identifier: Apache-2.0
"""Inputs that nobody meant, for each parser of what comes from outside."""

from collections.abc import Iterable

import fixtures
from oslotest import base

from tests.fuzz import depth, harness, inputs, targets
from tests.fuzz.targets import heat

# Of each target, always the same.
_INPUTS = 120
_SEED = 11


class ParsersTest(base.BaseTestCase):
    """Each group of targets is a test, so that they can run beside each other."""

    def _give(self, group):
        names = [name for name in targets.ALL if name.partition("-")[0] == group]
        self.assertNotEqual([], names)
        for name in names:
            figures = harness.Runner(targets.ALL[name]).run(_INPUTS, _SEED)
            found = [f"{one}\n{one.detail}" for one in figures.findings]
            self.assertEqual([], found, name)
            self.assertLess(0, figures.kept, name)
            self.assertLessEqual(_INPUTS, figures.inputs - figures.kept, name)
            # Neither all of them nor none is far from what is valid.
            self.assertLess(figures.refusals, figures.inputs, name)

    def test_docker(self):
        """What engines answer to the conductor and to commands breaks nothing."""
        self._give("docker")

    def test_heat(self):
        """What Heat answers and what nodes signal breaks nothing."""
        self._give("heat")

    def test_node(self):
        """What a node reads, and what engines and services answer it, breaks nothing."""
        self._give("node")

    def test_join(self):
        """What clients send to the join server breaks nothing."""
        self._give("join")

    def test_backup(self):
        """Files of backups, and what managers' hosts say of theirs, break nothing."""
        self._give("backup")

    def test_api(self):
        """What users send to Magnum's API breaks nothing."""
        self._give("api")

    def test_record(self):
        """Whatever is stored as a record breaks nothing."""
        self._give("record")

    def test_groups(self):
        """No target is left out."""
        groups = {name.partition("-")[0] for name in targets.ALL}
        tests = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_")}
        self.assertEqual(set(), groups - tests)


class DepthTest(base.BaseTestCase):
    """No target is blind."""

    def test_valid(self):
        """Each target takes its valid inputs, which come to the end of its parser."""
        for name, target in targets.ALL.items():
            with self.subTest(name):
                self.assertNotEqual((), target.depths)
                known = depth.valid(name)
                self.assertNotEqual([], known)
                self.assertEqual(set(), depth.missed(target, known))

    def test_blind(self):
        """A target whose stack has no location is seen to reach nothing behind it."""
        target = targets.ALL["heat-stacks"]
        original = heat._Session.request

        def request(*given, **more):
            answer = original(*given, **more)
            del answer.headers["Location"]
            return answer

        self.useFixture(fixtures.MonkeyPatch("tests.fuzz.targets.heat._Session.request", request))
        missed = depth.missed(target, depth.valid("heat-stacks"))
        self.assertEqual({"failure", "reports", "members_of", "explain"}, missed)


class _Faulty(harness.Target):
    """A parser with one fault."""

    name = "faulty"
    refusals = (ValueError,)

    def __init__(self, fault):
        self._fault = fault

    def inputs(self) -> inputs.Make:
        return inputs.documents({"a": [1]})

    def read(self, data: bytes) -> Iterable[str]:
        if len(data) > 20:
            return self._fault(data)
        raise ValueError("too short")


def _changed(name, value):
    return fixtures.MonkeyPatch(f"tests.fuzz.harness.{name}", value)


class RunnerTest(base.BaseTestCase):
    """A fault of each kind is found, and inputs that find it are made smaller."""

    def _found(self, fault):
        (finding,) = harness.Runner(_Faulty(fault)).run(500, 1).findings
        self.assertLess(len(finding.data), 1000)
        return finding.kind

    def test_exception(self):
        """An exception that is not declared is found."""
        self.assertIn("raises KeyError", self._found(lambda data: {}[data]))

    def test_time(self):
        """What takes too long is found."""
        self.useFixture(_changed("MOST_SECONDS", 0.0001))
        self.useFixture(_changed("_NOISE_SECONDS", 0.0))
        self.assertIn("takes more than 0.0001 s", self._found(lambda _: [str(sum(range(30_000)))]))

    def test_memory(self):
        """What takes too much memory is found, also where it is given back at once."""
        self.assertIn("takes more than 64 MiB", self._found(lambda _: [str(len(bytes(65 << 20)))]))

    def test_text(self):
        """Text that is too long, or that a terminal obeys, is found."""
        self.assertIn("says more than 10000", self._found(lambda _: ["x" * 10_001]))
        self.assertIn("says '\\x1b'", self._found(lambda _: ["\x1b[2J"]))

    def test_no_inputs(self):
        """A target whose inputs are all alike does not pass."""
        target = _Faulty(lambda _: [])
        target.inputs = lambda: inputs.just(b"x")  # type: ignore[method-assign]
        self.assertRaises(RuntimeError, harness.Runner(target).run, 100, 1)
