# SPDX-License-Identifier: Apache-2.0
"""The command line of ``tools/test``, and what a signal does to it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from tests.runner import processes
from tests.runner.report import report
from tests.runner.schedule import Schedule, say
from tests.runner.steps import STEPS, Outcome, Step, older

_ALL = Step("all", "", 0)


def main(text: str, words: Sequence[str] | None = None, steps: Sequence[Step] = STEPS) -> int:
    """Run the chosen steps and report.

    :param text: what ``--help`` says first.
    :returns: the exit code.
    """
    parser = _parser(text, steps)
    options = vars(parser.parse_args(words))
    if options.pop("list"):
        for step in steps:
            print(f"{step.name:10} {step.help}")
        return 0
    suites = options.pop("suites")
    if unknown := set(suites) - {step.name for step in steps}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {_names(steps)}")
    chosen = [step for step in steps if not suites or step.name in suites]
    schedule = Schedule(**options)
    if schedule.long:
        chosen += [one for step in chosen if step.needs_cloud for one in older(step)]
    schedule.logs.mkdir(exist_ok=True)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(schedule, chosen))
    if schedule.regex and not any(outcome.results for outcome in schedule.outcomes):
        schedule.outcomes.append(Outcome(_ALL, problems=["no test matches"]))
    return report(schedule.outcomes, schedule.logs)


async def _run(schedule: Schedule, steps: Sequence[Step]) -> None:
    """Run steps; a signal ends them, and the cloud if it was brought up; a second one at once.

    The handlers are set also where whoever started this ignores SIGINT, as a shell does for what
    runs in the background.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if task.cancelling():
            processes.kill_all()
            os._exit(1)
        say("interrupted; once more ends everything at once")
        schedule.outcomes.append(Outcome(_ALL, problems=["interrupted"]))
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    await schedule.run(steps)


def _parser(text: str, steps: Sequence[Step]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=_names(steps))
    parser.add_argument("-r", "--regex", default="", help="only tests whose names match")
    parser.add_argument(
        "-c", "--concurrency", type=int, default=os.cpu_count() or 1, help="processes per suite"
    )
    for name, meaning in (
        ("long", "the variants and tests, too, that take long"),
        ("fresh", "delete what is on the cloud first: clusters, images"),
        ("keep", "leave the cloud up afterwards"),
        ("no-install", "all that is needed is there"),
        ("list", "say what there is and stop"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=meaning)
    return parser


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(step.name for step in steps)
