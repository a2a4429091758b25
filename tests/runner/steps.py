# SPDX-License-Identifier: Apache-2.0
"""The steps that ``tools/test`` can run, and how a step ended."""

from __future__ import annotations

import collections
import dataclasses
import pathlib

VENV = pathlib.Path("/var/lib/devcloud/venv")
PYTHON = str(VENV / "bin/python")
HORIZON = pathlib.Path("/var/lib/devcloud/horizon")
# The variants of --long: what each variable does stands in the test module that reads it.
LONG = {
    "DEATH_STEP": "1",
    "HEALING_ALL": "1",
    "LATE_SECONDS": "300",
    "LIVING_APART": "1",
    "LIVING_CLUSTERS": "5",
    "LIVING_KILLS": "20",
    "LIVING_MANAGERS": "5,3,1",
    "LIVING_WORKERS": "8,12,3,0,2",
    "RECOVERY_ALONE": "60",
    "UPGRADE_KILLS": "10",
    "UPGRADE_RESUME": "1",
    "UPGRADE_WORKERS": "6",
}
LONG_FACTOR = 4  # so many times as long may a suite take then
# Releases of Magnum that have the rotations; what else is tested on older ones, test_08 does.
ROTATING = ("21.0.1", "22.0.0")
ROTATIONS = r"endtoend\.test_3[23]_"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to run: commands, or the tests of a directory.

    :ivar deadline: seconds
    :ivar tests: directory whose tests are run and counted
    :ivar counted: its commands run tests, and note each in the file that ``TEST_RESULTS`` names:
        a line of JSON with the fields of :class:`Result`. ``TEST_REGEX`` is what their names match
    :ivar needs_cloud: it runs while the cloud is up; ``tests.plan`` orders its tests
    :ivar beside: it may run beside one that needs the cloud: it shares nothing with that
    :ivar regex: only tests whose names match
    :ivar release: of Magnum, which the cloud runs meanwhile; empty: the newest
    """

    name: str
    help: str
    deadline: int
    commands: tuple[tuple[str, ...], ...] = ()
    tests: str = ""
    counted: bool = False
    needs_cloud: bool = False
    beside: bool = False
    regex: str = ""
    release: str = ""


STEPS = (
    Step("lint", "style and types", 600, (("tools/lint",),)),
    Step(
        "docs",
        "documentation and release notes, warnings as errors",
        600,
        (
            # -E: what an earlier build remembers of a page, it does not warn of again.
            (PYTHON, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html", "doc/source",
             "doc/build/html"),
            (str(VENV / "bin/reno"), "-q", "lint"),
        ),
        beside=True,
    ),
    Step("unit", "no network, no service, no root", 600, tests="tests/unit", beside=True),
    Step(
        "functional",
        "real services' own code in one process",
        1500,
        tests="tests/functional",
        beside=True,
    ),
    Step(
        "horizon",
        "Horizon's plug-in: style, types, translations, Django tests, Jasmine specs",
        600,
        (
            ("env", f"HORIZON_VENV={HORIZON / 'venv'}", f"NODE_MODULES={HORIZON / 'node_modules'}",
             "horizon/tools/test"),
        ),
        counted=True,
        beside=True,
    ),
    Step(
        "endtoend",
        "clusters on the one-machine cloud, most of them one after the other",
        4200,
        tests="tests/endtoend",
        needs_cloud=True,
    ),
    Step(
        "bare",
        "the installation in a root file system of Python and git",
        900,
        (("tools/check-bare",),),
        beside=True,
    ),
)  # fmt: skip


def older(step: Step) -> list[Step]:
    """Return what repeats some end-to-end tests on older releases of Magnum."""
    return [
        dataclasses.replace(
            step,
            name=f"magnum-{release}",
            help=f"rotations on Magnum {release}",
            regex=ROTATIONS,
            release=release,
        )
        for release in ROTATING
    ]


@dataclasses.dataclass(frozen=True)
class Result:
    """How a test ended, as ``tests.results`` prints it.

    :ivar status: subunit's word: success, fail, skip, xfail, uxsuccess or inprogress (a crash)
    :ivar seconds: since the test before it ended: preparations of its class are in it
    :ivar text: what it left to read, its traceback last
    """

    id: str
    status: str
    seconds: float = 0.0
    text: str = ""

    @property
    def good(self) -> bool:
        """Whether it passed; a test that is skipped did not."""
        return self.status == "success"


@dataclasses.dataclass
class Outcome:
    """How a step ended.

    :ivar quiet: its output went to its log only
    """

    step: Step
    results: list[Result] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    quiet: bool = False

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(result.good for result in self.results)

    @property
    def red(self) -> list[Result]:
        """The tests that did not pass."""
        return [result for result in self.results if not result.good]

    @property
    def failed(self) -> int:
        """How many tests did not pass."""
        return len(self.red)

    @property
    def good(self) -> bool:
        """Whether everything of the step is as it should be."""
        return not self.red and not self.problems

    @property
    def verdict(self) -> str:
        """The result in a few words."""
        has_tests = self.step.tests or self.step.counted
        tests = f"{self.passed} passed, {self.failed} failed" if has_tests else ""
        return "; ".join(filter(None, (tests, *self.problems))) or "good"

    @property
    def modules(self) -> dict[str, float]:
        """The seconds of each module of tests, the slowest first."""
        seconds: dict[str, float] = collections.defaultdict(float)
        for result in self.results:
            seconds[".".join(result.id.split(".")[:-2])] += result.seconds
        return dict(sorted(seconds.items(), key=lambda item: -item[1]))
