# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from benchmarks.scaled import figures, upstream
from benchmarks.scaled.figures import Look, Phase


def look(at: float, engine: float, **asked: int) -> Look:
    """Return totals in which only time, Heat's engine and requests differ."""
    return Look(at, {"heat-engine": engine, "mariadb": engine / 2}, asked, 10 * int(at), 7, 1.0)


def phase(layout: str, engine: float) -> Phase:
    """Return a creation of ten workers that used so much of a processor."""
    before = look(5.0, 1.0, compute=3)
    return Phase(layout, 10, "create", 10, before, look(65.0, 1.0 + engine, compute=43, network=2))


class TestFigures(base.BaseTestCase):
    def test_phase(self) -> None:
        """A phase is the difference of two looks, also for what the first had not seen."""
        one = phase("driver", 4.0)
        self.assertEqual((60.0, 4.0, 40, 2), (one.seconds, *_of(one)))
        self.assertEqual(0.6, one.heat)
        self.assertIn("driver      10 create  |      60 |      4.0", one.line())

    def test_columns(self) -> None:
        """Each figure stands below its head."""
        lengths = {len(line) for line in (*figures.head().splitlines(), phase("x", 1.0).line())}
        self.assertEqual(1, len(lengths))

    def test_shares(self) -> None:
        """Only what was measured of both layouts is compared."""
        other = Phase("driver", 20, "create", 20, look(0.0, 0.0), look(1.0, 1.0))
        found = figures.shares([phase("driver", 2.0), phase("upstream", 8.0), other])
        self.assertEqual({(10, "create"): 0.25}, found)

    def test_delta(self) -> None:
        """What was asked most comes first, and what is rare is left out."""
        before, after = {"a": 5, "b": 1}, {"a": 7, "b": 11, "c": 1}
        self.assertEqual(["      10 b", "       2 a"], figures.delta(before, after, 2))


def _of(one: Phase) -> tuple[float, int, int]:
    return one.cpu("heat-engine"), one.asked("compute"), one.asked("network")


class TestUpstream(base.BaseTestCase):
    def test_a_stack_for_each_node(self) -> None:
        """A worker of the removed layout is a stack with 17 resources."""
        asked = upstream.stack(3, "n", "s", "e")
        group = asked["template"]["resources"]["nodes"]["properties"]
        self.assertEqual("node.yaml", group["resource_def"]["type"])
        self.assertEqual(17, len(upstream.node()["resources"]))
        self.assertEqual(
            set(upstream.node()["parameters"]), set(group["resource_def"]["properties"])
        )
