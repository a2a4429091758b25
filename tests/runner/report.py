# SPDX-License-Identifier: Apache-2.0
"""Prints how all steps ended: times, ends of logs, tracebacks, and the sum in the last line."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tests.runner.steps import Outcome

# What the services said is what explains most failures on the cloud.
SERVICE_LOGS = pathlib.Path("/var/lib/devcloud/log")
TELLING_SERVICES = (
    "magnum-api",
    "magnum-conductor",
    "heat-engine",
    "nova-compute",
    "network-daemon",
)
TAIL_LINES = 40
QUIET_LINES = 300  # of a log that was not on the terminal, where no test tells why
TRACEBACK_LINES = 60  # of each test that failed
TRACEBACKS = 25  # of each step
SLOWEST = 25  # tests of each step


def report(
    outcomes: Sequence[Outcome], logs: pathlib.Path, services: pathlib.Path = SERVICE_LOGS
) -> int:
    """Print how each step ended and, last, how many tests passed and failed.

    :param logs: directory of the steps' logs.
    :param services: directory of the cloud's logs.
    :returns: the exit code.
    """
    bad = [outcome for outcome in outcomes if not outcome.good]
    for outcome in outcomes:
        _print_times(outcome)
    if any(outcome.step.needs_cloud for outcome in bad):
        for name in TELLING_SERVICES:
            _print_end(name, services / f"{name}.log", TAIL_LINES)
    for outcome in bad:
        number = QUIET_LINES if outcome.quiet and not outcome.red else TAIL_LINES
        _print_end(f"{outcome.step.name} failed", logs / f"{outcome.step.name}.log", number)
    for outcome in bad:
        for result in outcome.red[:TRACEBACKS]:
            print(f"\n--- {outcome.step.name} {result.id}: {result.status}")
            print("\n".join(result.text.splitlines()[-TRACEBACK_LINES:]))
    print()
    for outcome in outcomes:
        print(f"{outcome.step.name:10} {outcome.seconds:5.0f} s  {outcome.verdict}")
    for outcome in bad:
        for result in outcome.red:
            print(f"failed: {outcome.step.name} {result.id}")
    # A step without tests that failed must not be followed by "0 failed".
    failed = sum(outcome.failed or not outcome.good for outcome in outcomes)
    print(f"\n{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed", flush=True)
    return 1 if bad or not outcomes else 0


def _print_times(outcome: Outcome) -> None:
    """Print the slowest tests of a step and, of the cloud's, the seconds of each module."""
    if not outcome.results:
        return
    print(f"\n{outcome.step.name}: {outcome.seconds:.0f} s; the slowest tests, with what is "
          "prepared for them:")  # fmt: skip
    for result in sorted(outcome.results, key=lambda result: -result.seconds)[:SLOWEST]:
        print(f"{result.seconds:7.1f} s  {result.id}")
    if outcome.step.needs_cloud:
        print(f"{outcome.step.name}: modules:")
        for module, seconds in outcome.modules.items():
            print(f"{seconds:7.1f} s  {module}")


def _print_end(title: str, log: pathlib.Path, number: int) -> None:
    """Print the end of a log, if there is one: so many lines."""
    if log.exists():
        print(f"\n--- {title}; all of it: {log}")
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-number:]))
