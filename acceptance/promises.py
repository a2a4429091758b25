# SPDX-License-Identifier: Apache-2.0
"""What is promised, what became of it, and the table that says so."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """One row of the table."""

    name: str
    sentence: str


PROMISES = (
    Promise("create", "A cluster is created within the time that is given."),
    Promise("nodes", "As soon as it is complete, every node is in the swarm and Ready."),
    Promise("api-tls", "The Docker API answers holders of a certificate, over TLS, only."),
    Promise("closed-ports", "No other port of swarm or engine can be reached from outside."),
    Promise("tasks", "A service runs its tasks on every node."),
    Promise("task-addresses", "Every task answers at its own address, to every node."),
    Promise("dns-round-robin", "A service's name leads to each of its tasks."),
    Promise("packet-size", "The largest packets and much data pass between the nodes."),
    Promise("virtual-address", "A service answers at its virtual address, on every node."),
    Promise("routing-mesh", "A published port answers at the address of every node."),
    Promise("encrypted", "An encrypted overlay network connects the nodes."),
    Promise("worker-power", "Tasks reach no service of managers for nodes, and no API of workers."),
    Promise("reboot", "A worker that is rebooted comes back and runs tasks."),
    Promise("delete", "The cluster is deleted, and nothing of it is left."),
)


class Verdict(enum.Enum):
    """What became of a promise."""

    PASSED = "passed"
    FAILED = "FAILED"
    UNTRIED = "not tried"


@dataclass(frozen=True)
class Result:
    """What became of one promise.

    :ivar seconds: how long it took to know.
    """

    verdict: Verdict
    seconds: float = 0.0
    reason: str = ""


def listing() -> str:
    """Return all promises with their sentences."""
    width = max(len(one.name) for one in PROMISES)
    return "\n".join(f"{one.name:<{width}}  {one.sentence}" for one in PROMISES)


def table(results: Mapping[str, Result]) -> str:
    """Return the table of all promises; one without a result was not tried."""
    width = max(len(one.name) for one in PROMISES)
    lines = [f"{'PROMISE':<{width}}  {'RESULT':<9}  {'SECONDS':>7}  REASON"]
    for promise in PROMISES:
        one = results.get(promise.name, Result(Verdict.UNTRIED))
        seconds = "" if one.verdict is Verdict.UNTRIED else f"{one.seconds:.0f}"
        reason = " ".join(one.reason.split())
        line = f"{promise.name:<{width}}  {one.verdict.value:<9}  {seconds:>7}  {reason}"
        lines.append(line.rstrip())
    lines.append(summary([results.get(one.name, Result(Verdict.UNTRIED)) for one in PROMISES]))
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """Return one line that counts."""
    counted = {kind: sum(one.verdict is kind for one in results) for kind in Verdict}
    return (
        f"{counted[Verdict.PASSED]} passed, {counted[Verdict.FAILED]} failed, "
        f"{counted[Verdict.UNTRIED]} not tried"
    )


def exit_code(results: Mapping[str, Result]) -> int:
    """Return 0 when all promises hold, 1 when one does not, 3 when some were not tried."""
    verdicts = {results.get(one.name, Result(Verdict.UNTRIED)).verdict for one in PROMISES}
    if Verdict.FAILED in verdicts:
        return 1
    return 3 if Verdict.UNTRIED in verdicts else 0
