#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures clusters of hundreds of workers, and the layout of the driver that Magnum removed.

``benchmarks/scale.py --workers 100 300 1000 --upstream 100 300`` needs root, for a network of its
own, and the environment of the one-machine cloud, where Magnum and Heat are installed. It needs no
cloud, and disturbs none.

For each number of workers it has a cluster made, grown by 100 workers, made 100 smaller and
deleted. For each number after ``--groups`` it has a cluster of 100 workers made, which gets further
node groups of 100 until it has so many, loses one of them and is deleted. It prints how long that
took, what each service used of processors, messages of RabbitMQ, requests to each service, rows and
state in Heat's database; and what a pass of the conductor costs.

What is real: Magnum's conductor code with this driver, Heat's API and engine with convergence, as
processes of their own, on a MariaDB and a RabbitMQ of their own. What is not: Keystone, Nova,
Neutron and Glance are one small process that answers as they do and counts what it is asked, and so
is the Docker API, behind TLS with a certificate that Magnum signs. Its servers boot in ``--boot``
seconds, join after ``--join`` more, and report to Heat as nodes do, with what their user-data says.
With real ones a thousand servers would need some three seconds of processor each, an hour of a
small machine for one creation, and both layouts make one server for a worker: they differ in what
Nova and Neutron are asked, which is counted.
"""

import argparse
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scaled import cloud, figures, processes, upstream
from benchmarks.scaled.figures import Look, Phase

_INSIDE = "SCALE_INSIDE"
_FEW = 10


class Run:
    """One run with all its processes."""

    def __init__(self, options: argparse.Namespace, space: Path) -> None:
        self._options, self._space = options, space
        self._services = processes.Processes(space)
        self.phases: list[Phase] = []
        self.passes: dict[tuple[int, str], Any] = {}
        self.problems: list[str] = []

    def start(self) -> None:
        """Start everything and set Magnum up."""
        from benchmarks.scaled import conductor

        options = self._options
        module = [sys.executable, "-m", "benchmarks.scaled.cloud", options.boot, options.join]
        self._services.start("cloud", [str(part) for part in module], cloud.PORT)
        processes.database(self._services, self._space)
        processes.rabbit(self._services, self._space)
        processes.heat(self._services, self._space, options.engines)
        self._conductor, self._control = conductor.Conductor(), conductor.control
        self._login = conductor.login

    def stop(self) -> None:
        """End everything."""
        self._services.stop()

    def look(self) -> Look:
        """Return all totals."""
        cpu, memory = self._services.used()
        asked: dict[str, int] = {}
        for name, count in self._control("counts")["requests"].items():
            service = name.split(" ")[0]
            asked[service] = asked.get(service, 0) + count
        rows, state = processes.state_of_heat()
        return Look(
            at=time.monotonic(),
            cpu={**cpu, "conductor": time.process_time()},
            asked=asked,
            messages=processes.messages(self._space),
            rows=rows,
            state=state,
            memory=memory,
        )

    def phase(
        self, layout: str, workers: int, name: str, changed: int, act: Callable[[], str]
    ) -> None:
        """Measure what an act costs, and print it.

        :raises RuntimeError: when it does not end as it should.
        """
        before, counts = self.look(), self._control("counts")["requests"]
        began = time.monotonic()
        ended = act()
        took = time.monotonic() - began
        after = self.look()
        # Looking takes time as well.
        after = Look(**{**vars(after), "at": before.at + took})
        phase = Phase(layout, workers, name, changed, before, after)
        self.phases.append(phase)
        print(phase.line(), flush=True)
        if self._options.requests:
            told = self._control("counts")
            print("\n".join(figures.delta(counts, told["requests"], changed // 2)), flush=True)
            print(told["reports"], flush=True)
        if not (ended == "gone" or ended.split(" ")[0].endswith("_COMPLETE")):
            raise RuntimeError(f"{layout}, {workers} workers, {name}: {ended}")

    # The driver's clusters

    def driver(self, workers: int) -> None:
        """Measure a cluster's whole life."""
        conductor, step = self._conductor, self._options.step
        uuid = self._create("driver", workers)
        self._idle(uuid, workers)

        def resize(name: str, count: int) -> None:
            ask = functools.partial(conductor.resize, uuid, count)
            self._change(uuid, "driver", workers, name, step, ask)
            self._busy(workers, name)

        if workers > _FEW and not self._options.short:
            conductor.passes.clear()
            resize("grow", workers + step)
            resize("shrink", workers)
        self._delete(uuid, "driver", workers)

    def groups(self, workers: int) -> None:
        """Measure the life of a cluster whose workers are in several node groups."""
        conductor, step = self._conductor, self._options.step
        uuid = self._create("groups", step)
        added: list[str] = []

        def add() -> None:
            added.append(conductor.add_group(uuid, f"group-{len(added)}", step))

        def remove() -> None:
            conductor.delete_group(uuid, added[-1])

        for count in range(step, workers, step):
            conductor.passes.clear()
            self._change(uuid, "groups", count, "add", step, add)
        self._busy(workers, "add")
        self._idle(uuid, workers)
        self._change(uuid, "groups", workers, "remove", step, remove)
        self._busy(workers, "remove")
        self._delete(uuid, "groups", workers - step)

    def _create(self, layout: str, workers: int) -> str:
        made: list[str] = []

        def act() -> str:
            self._control("reset", {})
            made.append(self._conductor.create(workers, self._options.minutes))
            return self._followed(made[0])

        self.phase(layout, workers, "create", workers, act)
        return made[0]

    def _change(
        self,
        uuid: str,
        layout: str,
        workers: int,
        name: str,
        changed: int,
        ask: Callable[[], None],
    ) -> None:
        def act() -> str:
            ask()
            return self._followed(uuid)

        self.phase(layout, workers, name, changed, act)

    def _delete(self, uuid: str, layout: str, workers: int) -> None:
        ask = functools.partial(self._conductor.delete, uuid)
        self._change(uuid, layout, workers, "delete", workers, ask)
        if left := self._control("left"):
            self.problems.append(f"{layout}: {workers} workers left behind: {left}")

    def _followed(self, uuid: str) -> str:
        return str(self._conductor.follow(uuid, self._options.minutes * 60))

    def _idle(self, uuid: str, workers: int) -> None:
        # The first look makes the connections.
        self._conductor.look_at_health(uuid)
        self._keep(workers, "idle", self._conductor.look_at_health(uuid))

    def _busy(self, workers: int, name: str) -> None:
        passes = self._conductor.passes
        self._keep(workers, name, max(passes, key=lambda one: one.cpu))
        passes.clear()

    def _keep(self, workers: int, name: str, one: Any) -> None:
        self.passes[workers, name] = one
        print(
            f"         {workers:5} pass {name}: {one.cpu:.2f} s of processor, "
            f"{one.memory:.1f} MiB, {one.requests} requests, {one.seconds:.2f} s",
            flush=True,
        )

    # The removed layout

    def upstream(self, workers: int) -> None:
        """Measure a stack of the removed layout."""
        heat = self._heat()
        networks = _networks(self._login)
        name = f"upstream-{workers}"
        arguments = upstream.stack(workers, *networks)

        def wait(gone: bool = False) -> str:
            deadline = time.monotonic() + self._options.minutes * 60
            while True:
                stack = heat.stacks.get(made[0], resolve_outputs=False)
                if not stack.stack_status.endswith("_IN_PROGRESS"):
                    if gone and stack.stack_status == "DELETE_COMPLETE":
                        return "gone"
                    return f"{stack.stack_status} {stack.stack_status_reason}"
                if time.monotonic() > deadline:
                    raise TimeoutError(stack.stack_status)
                time.sleep(5)

        made: list[str] = []

        def create() -> str:
            made.append(heat.stacks.create(stack_name=name, **arguments)["stack"]["id"])
            return wait()

        def resize(count: int) -> Callable[[], str]:
            def act() -> str:
                heat.stacks.update(made[0], existing=True, parameters={"count": count})
                time.sleep(2)
                return wait()

            return act

        def delete() -> str:
            heat.stacks.delete(made[0])
            time.sleep(2)
            return wait(gone=True)

        self.phase("upstream", workers, "create", workers, create)
        if not self._options.short:
            step = self._options.step
            self.phase("upstream", workers, "grow", step, resize(workers + step))
            self.phase("upstream", workers, "shrink", step, resize(workers))
        self.phase("upstream", workers, "delete", workers, delete)

    def _heat(self) -> Any:
        from heatclient.v1 import client
        from keystoneauth1 import session
        from keystoneauth1.identity import v3

        auth = v3.Password(
            f"{cloud.URL}/identity/v3",
            username="demo",
            password="x",
            user_domain_name="Default",
            project_name="demo",
            project_domain_name="Default",
        )
        return client.Client(
            session=session.Session(auth), service_type="orchestration", interface="public"
        )

    # The end

    def report(self) -> bool:
        """Print the aims and whether they are reached."""
        good = not self.problems
        for problem in self.problems:
            print(problem)
        for (workers, name), share in figures.shares(self.phases).items():
            reached = share <= figures.AIM_SHARE
            good &= reached
            print(
                f"Heat for a worker, {name} at {workers}: {share:.2f} of the removed layout's "
                f"(aim {figures.AIM_SHARE}) {_said(reached)}"
            )
        few = self.passes.get((_FEW, "idle"))
        for (workers, name), one in self.passes.items():
            reached = one.cpu <= figures.AIM_PASS_CPU and one.memory <= figures.AIM_PASS_MEMORY
            if name == "idle" and few:
                reached &= one.requests <= figures.AIM_REQUESTS * few.requests
            good &= reached
            print(
                f"Pass {name} at {workers}: {one.cpu:.2f} s, {one.memory:.1f} MiB, "
                f"{one.requests} requests {_said(reached)}"
            )
        return good


def _said(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _networks(login: Callable[[], tuple[str, Any]]) -> tuple[str, str, str]:
    """Return ids of network and subnet of the nodes, and of the external network."""
    import json
    import urllib.request

    token, _ = login()
    found = {}
    for name in (names := ("nodes", "public")):
        for kind in ("networks", "subnets"):
            url = f"{cloud.URL}/network/v2.0/{kind}?name={name}"
            request = urllib.request.Request(url, headers={"X-Auth-Token": token})
            with urllib.request.urlopen(request, timeout=60) as answer:
                found[name, kind] = json.loads(answer.read())[kind][0]["id"]
    nodes, public = names
    return found[nodes, "networks"], found[nodes, "subnets"], found[public, "networks"]


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    # So that whoever ends this process has all others ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="scale-") as directory:
        one = Run(options, Path(directory))
        try:
            one.start()
            print(figures.head(), flush=True)
            if options.workers or options.groups:
                one.driver(_FEW)
            for workers in options.workers:
                one.driver(workers)
            for workers in options.groups:
                one.groups(workers)
            for workers in options.upstream:
                one.upstream(workers)
            return 0 if one.report() else 1
        finally:
            one.stop()
            if options.logs:
                for path in Path(directory).glob("*.log"):
                    shutil.copy(path, options.logs)


def main() -> int:
    """Run the benchmark in a network of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--groups", type=int, nargs="*", default=[1000])
    parser.add_argument("--upstream", type=int, nargs="*", default=[100, 300])
    parser.add_argument("--step", type=int, default=100, help="workers more, fewer, or of a group")
    parser.add_argument("--short", action="store_true", help="resize nothing")
    parser.add_argument("--boot", type=float, default=5.0, help="seconds")
    parser.add_argument("--join", type=float, default=5.0, help="seconds")
    parser.add_argument("--engines", type=int, default=2, help="processes of heat-engine")
    parser.add_argument("--minutes", type=int, default=120, help="for each change")
    parser.add_argument("--requests", action="store_true", help="print which requests there were")
    parser.add_argument("--logs", help="directory for the services' logs")
    options = parser.parse_args()
    if _INSIDE not in os.environ:
        inside = 'ip link set lo up && exec "$@"'
        command = [
            "unshare",
            "--net",
            "sh",
            "-c",
            inside,
            "sh",
            sys.executable,
            "-W",
            "ignore",
            *sys.argv,
        ]
        # In its place, so that a signal to this process reaches who ends all others.
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
