# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

from devcloud import commands, files, processes
from devcloud.processes import ProcessFacts, Record, Service
from tests.unit.devcloud import base

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)"
    "\ntime.sleep(60)",
)


class StatTest(base.TestCase):
    def test_name_with_blanks_and_brackets(self) -> None:
        """A process that calls itself ``a) b (c`` is read like any other."""
        rest = " ".join(["S", "1", "40", "41", *["0"] * 15, "777", "0"])
        self.assertEqual(
            ProcessFacts(pid=42, state="S", session=41, start=777),
            processes.parse_stat(f"42 (a) b (c) {rest}\n"),
        )

    def test_this_process(self) -> None:
        """The kernel's answer about this process fits what Python knows."""
        facts = processes.facts(os.getpid())
        assert facts is not None
        self.assertEqual((os.getpid(), os.getsid(0), True), (facts.pid, facts.session, facts.alive))

    def test_no_such_process(self) -> None:
        """A number that no process has gives no facts."""
        self.assertIsNone(processes.facts(2**22 + 1))


class SameTest(base.TestCase):
    RECORD = Record(pid=42, start=777, boot="b", fingerprint="f")
    FACTS = ProcessFacts(pid=42, state="S", session=42, start=777)

    def test_same(self) -> None:
        """Same number, start and boot is the same process."""
        self.assertTrue(processes.is_same(self.RECORD, self.FACTS, "b"))

    def test_recycled_number(self) -> None:
        """A later process of the same number is another one."""
        later = dataclasses.replace(self.FACTS, start=778)
        self.assertFalse(processes.is_same(self.RECORD, later, "b"))

    def test_other_boot(self) -> None:
        """Start times of different boots do not compare."""
        self.assertFalse(processes.is_same(self.RECORD, self.FACTS, "c"))

    def test_zombie(self) -> None:
        """What has ended and was not reaped does not run."""
        zombie = dataclasses.replace(self.FACTS, state="Z")
        self.assertFalse(processes.is_same(self.RECORD, zombie, "b"))

    def test_gone(self) -> None:
        """Where there is no process, none is the same."""
        self.assertFalse(processes.is_same(self.RECORD, None, "b"))


class FingerprintTest(base.TestCase):
    SERVICE = Service("a", ("x", "y"), {"K": "v"}, inputs=("conf",))

    def test_equal_services(self) -> None:
        """The order of the environment does not matter."""
        one = dataclasses.replace(self.SERVICE, environment={"A": "1", "B": "2"})
        other = dataclasses.replace(self.SERVICE, environment={"B": "2", "A": "1"})
        self.assertEqual(one.fingerprint, other.fingerprint)

    def test_every_input_counts(self) -> None:
        """Command, environment and configuration each make another fingerprint."""
        changed = [
            dataclasses.replace(self.SERVICE, command=("xy",)),
            dataclasses.replace(self.SERVICE, environment={"K": "w"}),
            dataclasses.replace(self.SERVICE, inputs=("conf2",)),
        ]
        prints = {service.fingerprint for service in [self.SERVICE, *changed]}
        self.assertEqual(4, len(prints))


class LifeTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # The environment that marks processes names the home; tests must see only their own.
        self.addCleanup(self._kill_all)

    def _kill_all(self) -> None:
        for pid in processes.members(processes.marked_names()):
            os.kill(pid, signal.SIGKILL)

    def _start(self, command: tuple[str, ...], name: str = "sleeper") -> "subprocess.Popen[bytes]":
        process = processes.start(Service(name, command))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_start_and_stop(self) -> None:
        """A started service is found by its record, and after stop there is neither."""
        process = self._start(SLEEPER)
        record = processes.running("sleeper")
        assert record is not None
        self.assertEqual(process.pid, record.pid)
        self.assertEqual({process.pid: "sleeper"}, processes.members(["sleeper"]))
        self.assertEqual([], processes.stop(["sleeper"]))
        self.assertIsNone(processes.running("sleeper"))
        self.assertEqual([], processes.recorded_names())
        self.assertEqual({}, processes.members(["sleeper"]))

    def test_lead_their_own_session(self) -> None:
        """A service does not hear of signals to the terminal that started it."""
        self.assertEqual(process_id := self._start(SLEEPER).pid, os.getsid(process_id))

    def test_deaf_to_term(self) -> None:
        """What does not end in time is killed and named."""
        self._start(STUBBORN, "deaf")
        deadline = time.monotonic() + 20
        while b"deaf" not in processes.log_path("deaf").read_bytes():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(["deaf"], processes.stop(["deaf"], seconds=0.2))
        self.assertIsNone(processes.running("deaf"))

    def test_record_of_another_process(self) -> None:
        """A record whose number now belongs to a stranger stops nobody."""
        stranger = subprocess.Popen(SLEEPER, env=dict(os.environ))
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        record = {"pid": stranger.pid, "start": 1, "boot": processes.boot_id(), "fingerprint": ""}
        files.write(processes.record_path("old"), json.dumps(record))
        self.assertIsNone(processes.running("old"))
        self.assertEqual([], processes.stop(["old"], seconds=0))
        self.assertIsNone(stranger.poll())
        self.assertFalse(processes.record_path("old").exists())

    def test_lost_record(self) -> None:
        """A service whose record was lost is found and stopped by the mark in its environment."""
        self._start(SLEEPER)
        processes.record_path("sleeper").unlink()
        self.assertEqual({"sleeper"}, processes.marked_names())
        processes.stop(processes.marked_names())
        self.assertEqual(set(), processes.marked_names())

    def test_children_outlive_leader(self) -> None:
        """What a killed service leaves running is stopped with its name."""
        leader = self._start(
            ("/bin/sh", "-c", "sleep 60 & echo started; exec sleep 61"), "with-child"
        )
        deadline = time.monotonic() + 10
        while len(processes.members(["with-child"])) < 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        leader.kill()
        leader.wait()
        self.assertIsNone(processes.running("with-child"))
        self.assertEqual(1, len(processes.members(["with-child"])))
        processes.stop(["with-child"])
        self.assertEqual({}, processes.members(["with-child"]))

    def test_broken_record(self) -> None:
        """Half a record, left by a full disk, is none."""
        files.write(processes.record_path("half"), '{"pid": 1')
        self.assertIsNone(processes.running("half"))

    def test_memory(self) -> None:
        """This process uses between a megabyte and a gigabyte; one that is gone uses none."""
        self.assertTrue(1 < processes.memory_mib([os.getpid()]) < 1024)
        self.assertEqual(0, processes.memory_mib([2**22 + 1]))

    def test_environment_is_clean(self) -> None:
        """A service inherits nothing that would change how it works."""
        os.environ["OS_CLOUD"] = "other"
        self.addCleanup(os.environ.pop, "OS_CLOUD")
        self.assertNotIn("OS_CLOUD", commands.clean_environment())
