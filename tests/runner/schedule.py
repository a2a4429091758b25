# SPDX-License-Identifier: Apache-2.0
"""Runs the steps: some beside each other, some with the cloud up, tests by their plan."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import shutil
import time
from collections.abc import AsyncIterator, Sequence

from tests.runner import kept, processes
from tests.runner.steps import LONG, LONG_FACTOR, PYTHON, Outcome, Result, Step

DEVCLOUD = "tools/devcloud"


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


@dataclasses.dataclass
class Schedule:
    """Runs steps; ``outcomes`` takes how each ended, also where this is cancelled.

    The other fields are the options of ``tools/test``.
    """

    regex: str = ""
    concurrency: int = 1
    long: bool = False
    fresh: bool = False
    keep: bool = False
    no_install: bool = False
    checkout: pathlib.Path = processes.CHECKOUT
    logs: pathlib.Path = processes.CHECKOUT / ".logs"
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)

    # -- order ---------------------------------------------------------------------------------

    async def run(self, steps: Sequence[Step]) -> None:
        """Run steps: what needs no cloud first or, where it may, beside what needs it."""
        if not self.no_install:
            await self.carry_out(
                Step("install", "packages, environment, images", 1800, ((DEVCLOUD, "install"),))
            )
        on = [step for step in steps if step.needs_cloud]
        for step in steps:
            if not step.needs_cloud and not (on and step.beside):
                await self.carry_out(step)
        if not on:
            return
        async with self.cloud() as is_up, asyncio.TaskGroup() as group:
            # The tests take longest: what else there is does not wait for their end.
            beside = [step for step in steps if step.beside]
            group.create_task(self.beside([step for step in beside if step.tests]))
            group.create_task(self.beside([step for step in beside if not step.tests]))
            for step in on:
                await self.on_cloud(step, is_up)

    async def beside(self, steps: Sequence[Step]) -> None:
        """Run steps, one after the other, beside others."""
        for step in steps:
            await self.carry_out(step, beside=True)

    @contextlib.asynccontextmanager
    async def cloud(self) -> AsyncIterator[bool]:
        """Have the one-machine cloud up, and stop it again unless it was up before.

        What an earlier run left on it, killed perhaps, is deleted first if the options say so.
        """
        code, _out, _errors = await processes.output(DEVCLOUD, "status", cwd=self.checkout)
        up = (DEVCLOUD, "up", "--horizon")
        commands = ((DEVCLOUD, "reset"), up) if self.fresh else (up,)
        start = Step("cloud", "the one-machine cloud", 1800, commands, needs_cloud=True)
        try:
            yield (await self.carry_out(start)).good
        finally:
            if code and not self.keep:
                await self.carry_out(Step("down", "end the cloud", 300, ((DEVCLOUD, "down"),)))

    async def on_cloud(self, step: Step, is_up: bool) -> None:
        """Run a step that needs the cloud, which runs the step's release of Magnum meanwhile."""
        if not is_up:
            self.outcomes.append(Outcome(step, problems=["the cloud is not up"]))
            return
        if not step.release:
            await self.carry_out(step)
            return
        command = (DEVCLOUD, "up", "--magnum", step.release)
        switched = await self._attempt(Step("switch", f"Magnum {step.release}", 900, (command,)))
        if switched.good:
            await self.carry_out(step)
        else:
            self.outcomes.append(switched)
        await self._attempt(Step("switch-back", "the newest Magnum", 900, ((DEVCLOUD, "up"),)))

    # -- one step ------------------------------------------------------------------------------

    async def carry_out(self, step: Step, beside: bool = False) -> Outcome:
        """Run a step and keep how it ended: one without an outcome would count as good."""
        try:
            outcome = await self._attempt(step, beside)
        except asyncio.CancelledError:
            self.outcomes.append(Outcome(step, problems=["was ended"]))
            raise
        self.outcomes.append(outcome)
        return outcome

    async def _attempt(self, step: Step, beside: bool = False) -> Outcome:
        """Run a step, its output in a log of its name."""
        log = self.logs / f"{step.name}.log"
        log.unlink(missing_ok=True)
        say(f"{step.name}: {step.help}{f' (output in {log})' if beside else ''}")
        began = time.monotonic()
        outcome = Outcome(step, quiet=beside)
        try:
            if step.tests:
                await self.run_tests(outcome, log)
            await self._run_commands(outcome, log)
        except Exception as error:
            outcome.problems.append(repr(error))
        outcome.seconds = time.monotonic() - began
        say(f"{step.name}: {outcome.verdict} in {outcome.seconds:.0f} s")
        return outcome

    async def _run_commands(self, outcome: Outcome, log: pathlib.Path) -> None:
        """Run a step's commands and take in the results that they note."""
        step = outcome.step
        noted = self.logs / f"{step.name}.results"
        noted.unlink(missing_ok=True)
        variables = {"TEST_RESULTS": str(noted), "TEST_REGEX": self.regex} if step.counted else None
        for command in step.commands:
            problem = await processes.run(
                command, log, step.deadline, outcome.quiet, variables, self.checkout
            )
            outcome.problems += filter(None, [problem])
        if not step.counted:
            return
        if noted.exists():
            lines = noted.read_text(encoding="utf-8").splitlines()
            self._take_in(outcome, [Result(**json.loads(line)) for line in lines])
        self._check_number(outcome)

    # -- tests ---------------------------------------------------------------------------------

    def _take_in(self, outcome: Outcome, results: list[Result]) -> None:
        """Add results to an outcome, and keep them."""
        outcome.results += results
        kept.keep(results, self.logs)

    def _check_number(self, outcome: Outcome) -> None:
        """Note where no test was run; of several suites some may have none that matches."""
        if not (outcome.results or outcome.problems or self.regex):
            outcome.problems.append("no test was run")

    async def run_tests(self, outcome: Outcome, log: pathlib.Path) -> None:
        """Run the tests of a step's directory and take in their results."""
        step = outcome.step
        # A repository of its own: what an earlier run left there must not be counted.
        for old in self.logs.glob(f"{step.name}-*.stestr"):
            shutil.rmtree(old, ignore_errors=True)
        limit = time.monotonic() + step.deadline * (LONG_FACTOR if self.long else 1)
        number = 0
        for parts in await self._rounds(step):
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    repository = self.logs / f"{step.name}-{number}.stestr"
                    group.create_task(self._run_part(outcome, repository, part, log, limit))
                    number += 1
        self._check_number(outcome)

    async def _rounds(self, step: Step) -> list[list[list[str]]]:
        """Return the names of the tests of the parts of each round.

        An empty part stands for all tests: there is no plan, or it fails; running them tells why.
        """
        if not step.needs_cloud:
            return [[[]]]
        both = f"--regex=^(?=.*(?:{step.regex}))(?=.*(?:{self.regex}))"
        long = ("--long",) if self.long else ()
        code, plan, errors = await processes.output(
            PYTHON, "-m", "tests.plan", step.tests, both, *long, cwd=self.checkout
        )
        if code:
            say(errors)
            return [[[]]]
        rounds: list[list[list[str]]] = json.loads(plan)
        return rounds

    async def _run_part(
        self,
        outcome: Outcome,
        repository: pathlib.Path,
        names: list[str],
        log: pathlib.Path,
        limit: float,
    ) -> None:
        """Run the tests of these names one after the other, or all that are wanted."""
        repository.mkdir()
        stestr = (PYTHON, "-m", "stestr", "--test-path", f"./{outcome.step.tests}", "--top-dir",
                  ".", "--repo-url", str(repository))  # fmt: skip
        words: tuple[str, ...]
        if names:
            listed = repository.with_suffix(".tests")
            listed.write_text("\n".join(names) + "\n", encoding="utf-8")
            words = ("--serial", "--load-list", str(listed))
        else:
            number = max(1, self.concurrency // 2) if outcome.quiet else self.concurrency
            words = ("--concurrency", str(number), *filter(None, [self.regex]))
        problem = await processes.run(
            (*stestr, "run", *words), log, limit - time.monotonic(), outcome.quiet,
            LONG if self.long else None, self.checkout,
        )  # fmt: skip
        outcome.problems += filter(None, [problem])
        _code, stream, _errors = await processes.output(
            *stestr, "last", "--subunit", cwd=self.checkout
        )
        code, results, errors = await processes.output(PYTHON, "-m", "tests.results", given=stream)
        if code:
            outcome.problems.append(f"results cannot be read: {errors}")
        else:
            self._take_in(outcome, [Result(**result) for result in json.loads(results)])
