# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import subprocess

import fixtures
from oslotest import base

from acceptance import probe
from acceptance.probe import Answers, Layout

NODES = {"m0": "10.0.0.1", "w0": "10.0.0.2"}
TASKS = {"10.8.0.3": "m0", "10.8.0.4": "w0"}
SEALED = {"10.8.1.3": "m0", "10.8.1.4": "w0"}
LAYOUT = Layout(NODES, TASKS, SEALED, ("10.0.0.2",), ("10.0.0.1",))


def lines():
    """What tasks write where every promise holds, by asker, check and target."""
    found = {}
    for asker in NODES:
        for address, node in TASKS.items():
            found[asker, "address", address] = node
            found[asker, "name", address] = node
            found[asker, "data", address] = str(probe.DATA_BYTES + 80)
            found[asker, "ping", address] = "1400"
        for address, node in SEALED.items():
            found[asker, "sealed", address] = node
        found[asker, "virtual", "10.8.0.2"] = "w0"
        found[asker, "engine", "10.0.0.2"] = "closed"
        for port, answer in ((2374, "closed"), (2376, "open"), (2378, "closed")):
            found[asker, "port", f"10.0.0.1:{port}"] = answer
        for address in NODES.values():
            found[asker, "mesh", address] = "m0"
    return found


def judged(**changes):
    """The reasons, after changes of some answers: "asker check target" to answer."""
    answers = lines()
    for where, answer in changes.items():
        asker, check, target = where.split()
        answers[asker, check, target] = answer
    text = "".join(f"probe {' '.join(where)} {one}\n" for where, one in answers.items())
    return {name: why for name, why in probe.judge(Answers(text), LAYOUT).items() if why}


class JudgeTest(base.BaseTestCase):
    def test_all_is_well(self):
        """Where everything answers, every promise holds."""
        self.assertEqual({}, judged())

    def test_silence(self):
        """Without answers none does."""
        seen = probe.judge(Answers(""), LAYOUT)
        self.assertEqual(
            {
                *("task-addresses", "dns-round-robin", "packet-size", "virtual-address"),
                *("routing-mesh", "encrypted", "worker-power"),
            },
            {name for name, reason in seen.items() if reason},
        )

    def test_one_task(self):
        """A task that one node does not reach breaks what is promised of addresses only."""
        self.assertEqual(
            {"task-addresses": "m0 reaches no task on w0 at 10.8.0.4"},
            judged(**{"m0 address 10.8.0.4": "-"}),
        )
        self.assertEqual(
            {"dns-round-robin": "on w0 the name leads to no task on m0"},
            judged(**{"w0 name 10.8.0.3": "w0"}),
        )

    def test_sizes(self):
        """Data and packets must get to other nodes whole; a node's own do not count."""
        self.assertEqual({}, judged(**{"m0 data 10.8.0.3": "0", "m0 ping 10.8.0.3": "-"}))
        seen = judged(**{"m0 data 10.8.0.4": "1380", "w0 ping 10.8.0.3": "-"})
        self.assertEqual(
            {
                "packet-size": "m0 gets 1380 of 1048576 bytes from w0; "
                "the largest packet does not get from w0 to m0"
            },
            seen,
        )

    def test_virtual_address(self):
        """An address at which nothing answers is named."""
        self.assertEqual(
            {"virtual-address": "on w0 nothing answers at 10.8.0.2"},
            judged(**{"w0 virtual 10.8.0.2": "-"}),
        )

    def test_mesh(self):
        """What a node answers itself does not count."""
        self.assertEqual(
            {"routing-mesh": "the published port of w0 (10.0.0.2) answers nobody"},
            judged(**{"m0 mesh 10.0.0.2": "-"}),
        )
        self.assertEqual({}, judged(**{"m0 mesh 10.0.0.1": "-"}))

    def test_encrypted(self):
        """Traffic within a node proves nothing; a node without a task is named."""
        seen = judged(**{"m0 sealed 10.8.1.4": "-", "w0 sealed 10.8.1.3": "-"})
        self.assertEqual(
            "nothing gets from m0 to w0 (are ESP packets allowed?); "
            "nothing gets from w0 to m0 (are ESP packets allowed?)",
            seen["encrypted"],
        )
        layout = Layout(NODES, TASKS, {"10.8.1.3": "m0"}, ())
        self.assertIn("no task runs on w0; ", probe.judge(Answers(""), layout)["encrypted"])

    def test_power(self):
        """A worker whose engine can be connected to is named."""
        self.assertEqual(
            {"worker-power": "the worker 10.0.0.2 lets m0 connect to an engine's API"},
            judged(**{"m0 engine 10.0.0.2": "open"}),
        )

    def test_ports_of_managers(self):
        """What managers serve to nodes is closed to tasks that reach the managers otherwise."""
        for port in (2374, 2378):
            self.assertEqual(
                {"worker-power": f"the manager 10.0.0.1 lets a task on w0 connect to port {port}"},
                judged(**{f"w0 port 10.0.0.1:{port}": "open"}),
            )
        self.assertEqual(
            {"worker-power": "a task on w0 does not reach the manager 10.0.0.1"},
            judged(**{"w0 port 10.0.0.1:2376": "closed"}),
        )

    def test_many_complaints(self):
        """A reason names the first and counts the rest."""
        self.assertEqual("a; b; c; and 2 more", probe.because(["a", "b", "b", "c", "d", "e"]))

    def test_answers(self):
        """An answer once given outlives a later silence; rounds are counted by node."""
        text = "probe a mesh t x\nnoise\nprobe a mesh t -\nprobe a round 0 done\n" * 2
        answers = Answers(text)
        self.assertEqual("x", answers.get("a", "mesh", "t"))
        self.assertEqual("", answers.get("b", "mesh", "t"))
        self.assertEqual({"a": 2}, answers.rounds)


class ScriptTest(base.BaseTestCase):
    """The scripts under a shell, with programs that answer as busybox's do."""

    def setUp(self):
        super().setUp()
        self.programs = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self._add("nslookup", 'printf "Server: 127.0.0.11\\nAddress: 127.0.0.11:53\\n\\n'
                              'Name: $1\\nAddress: 10.8.0.3\\n"')  # fmt: skip
        self._add("nc", 'cat >/dev/null; [ $3 = 10.0.0.2 ] && exit 1; printf "HTTP/1.0\\n\\nm0\\n"')
        self._add("ping", "exit 0")
        # One round, and then the end.
        self._add("sleep", "kill $PPID")

    def _add(self, name, text):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def _run(self, script, **environment):
        done = subprocess.run(
            ["sh", "-c", script],
            env={"PATH": f"{self.programs}:{os.defpath}", "NODE": "m0", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertNotIn("yntax", done.stderr)
        return done.stdout.splitlines()

    def test_a_round(self):
        """Each check writes its line, and silence is a dash."""
        environment = {
            "WEB": "w",
            "VIRTUAL": "v",
            "API_PORT": "2376",
            "NODES": "10.0.0.1 10.0.0.2",
            "WORKERS": "10.0.0.2",
            "MANAGERS": "10.0.0.1",
            "NODE_PORTS": "2374 2378",
            "PUBLISHED": "30080",
        }
        seen = [
            line
            for line in self._run(probe.ASK, **environment)
            if not line.startswith("probe m0 ping")
        ]
        self.assertEqual(
            [
                "probe m0 address 10.8.0.3 m0",
                "probe m0 data 10.8.0.3 13",
                "probe m0 name 10.8.0.3 m0",
                "probe m0 engine 10.0.0.2 closed",
                "probe m0 port 10.0.0.1:2376 open",
                "probe m0 port 10.0.0.1:2374 open",
                "probe m0 port 10.0.0.1:2378 open",
                "probe m0 virtual 10.8.0.3 m0",
                "probe m0 mesh 10.0.0.1 m0",
                "probe m0 mesh 10.0.0.2 -",
                "probe m0 round 0 done",
            ],
            seen,
        )

    def test_sealed(self):
        """Tasks of the encrypted network ask each other."""
        self._add("httpd", "exit 0")
        script = probe.SEALED.replace("/www", str(self.programs / "www"))
        self.assertEqual(["probe m0 sealed 10.8.0.3 m0"], self._run(script, SEALED="s"))
