# SPDX-License-Identifier: Apache-2.0
import http.server
import io
import os
import subprocess
import sys
import threading

import fixtures

from devcloud import commands, lock, openrc, passwords, probe, progress, readiness, settings, status
from devcloud.errors import CommandFailedError, DevcloudError
from tests.unit.devcloud import base

SECRETS = passwords.complete({})


class OpenrcTest(base.TestCase):
    def _source(self, text: str, environment: dict[str, str]) -> dict[str, str]:
        output = subprocess.check_output(
            ["/bin/sh", "-c", f"{text}\nenv"], env={"PATH": os.defpath, **environment}, text=True
        )
        return dict(line.split("=", 1) for line in output.splitlines())

    def test_sourced(self) -> None:
        """A shell that sources it is the user, whatever it was before."""
        before = {"OS_CLOUD": "other", "OS_PROJECT_ID": "x", "OS_USERNAME": "admin"}
        after = self._source(openrc.text("demo", SECRETS), before)
        self.assertEqual(
            ("demo", "demo", settings.AUTH_URL),
            (after["OS_USERNAME"], after["OS_PROJECT_NAME"], after["OS_AUTH_URL"]),
        )
        self.assertNotIn("OS_CLOUD", after)
        self.assertNotIn("OS_PROJECT_ID", after)

    def test_twice(self) -> None:
        """Sourcing it twice extends PATH once."""
        text = openrc.text("admin", SECRETS)
        after = self._source(f"{text}\n{text}", {})
        self.assertEqual(1, after["PATH"].split(":").count(f"{settings.VENV}/bin"))

    def test_strange_password(self) -> None:
        """A password is quoted for the shell."""
        after = self._source(openrc.text("demo", {"demo": "a'b $c"}), {})
        self.assertEqual("a'b $c", after["OS_PASSWORD"])


class LockTest(base.TestCase):
    def test_second_is_refused(self) -> None:
        """A second command at the same time is refused, naming the first one's process."""
        path = self.home / "run" / "lock"
        with lock.held(path):
            code = (
                "from pathlib import Path; from devcloud import lock\n"
                f"lock.held(Path({str(path)!r})).__enter__()"
            )
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False
            )
        self.assertIn(f"another devcloud command is at work (process {os.getpid()})", done.stderr)

    def test_again(self) -> None:
        """After the first has ended the next may go on."""
        path = self.home / "run" / "lock"
        for _ in range(2):
            with lock.held(path):
                self.assertEqual(str(os.getpid()), path.read_text(encoding="utf-8"))


class CommandsTest(base.TestCase):
    def test_failure_says_everything(self) -> None:
        """A failed command is named with its code and the end of its output."""
        error = self.assertRaises(
            CommandFailedError, commands.run, ["sh", "-c", "echo one; echo two >&2; exit 3"]
        )
        self.assertEqual(
            "sh -c 'echo one; echo two >&2; exit 3' ended with 3: one\ntwo", str(error)
        )

    def test_missing_command(self) -> None:
        """A command that is not there is named."""
        error = self.assertRaises(CommandFailedError, commands.run, ["no-such-command"])
        self.assertEqual("cannot run no-such-command: No such file or directory", str(error))

    def test_timeout(self) -> None:
        """A command that does not end is killed."""
        error = self.assertRaises(CommandFailedError, commands.run, ["sleep", "60"], timeout=0.1)
        self.assertEqual("sleep did not end within 0.1 s", str(error))

    def test_input(self) -> None:
        """Text given to a command reaches it; without text its input is empty."""
        self.assertEqual("abc", commands.run(["cat"], stdin="abc"))
        self.assertEqual("", commands.run(["cat"]))


class ProgressTest(base.TestCase):
    def test_plain_lines(self) -> None:
        """Away from a terminal each step is one line with its seconds, failures marked."""
        stream = io.StringIO()
        display = progress.Progress(stream)
        with display.step("first"):
            pass

        def failing() -> None:
            with display.step("second"):
                raise DevcloudError("no")

        self.assertRaises(DevcloudError, failing)
        display.close()
        lines = stream.getvalue().splitlines()
        self.assertRegex(lines[0], r"^first +0\.0 s$")
        self.assertRegex(lines[1], r"^second +0\.0 s failed$")


class StatusTest(base.TestCase):
    ROWS = (
        status.Row("keystone", 12, "answers", 100.4),
        status.Row("heat-engine", 13, "", 50.2),
        status.Row("magnum-api", 0, "", 0),
    )

    def test_text(self) -> None:
        """Each process has a line; memory is summed up and servers are listed."""
        text = status.render(self.ROWS, ["t1  active  uuid"], "22.0.0")
        self.assertIn("keystone                12 answers     100 MiB\n", text)
        self.assertIn("magnum-api         stopped               0 MiB\n", text)
        self.assertIn("151 MiB\nrelease of Magnum: 22.0.0\nservers: 1\n  t1  active  uuid\n", text)

    def test_well(self) -> None:
        """A process is well when it runs and, if it has an endpoint, answers."""
        silent = status.Row("nova-api", 14, "silent", 1)
        self.assertEqual([True, True, False, False], [row.well for row in (*self.ROWS, silent)])


class ReadinessTest(base.TestCase):
    def test_ended(self) -> None:
        """A service that ends while it starts is told with the end of its log."""
        (self.home / "log" / "glance.log").write_text("reason\n", encoding="utf-8")
        error = self.assertRaises(
            DevcloudError, readiness.wait_until, lambda: False, lambda: True, "glance", 5
        )
        self.assertIn("glance ended while it started", str(error))
        self.assertIn("reason", str(error))

    def test_silent(self) -> None:
        """One that does not answer in time is told with the time."""
        error = self.assertRaises(
            DevcloudError, readiness.wait_until, lambda: False, lambda: False, "glance", 0
        )
        self.assertIn("glance did not answer within 0 s", str(error))

    def test_nobody_listens(self) -> None:
        """Where nobody listens nothing answers."""
        self.assertFalse(readiness.answers("127.0.0.1:1", 1))
        self.assertFalse(readiness.answers("http://127.0.0.1:1/", 1))


class ProbeTest(base.TestCase):
    def _serve(self, statuses: list[int]) -> int:
        """Answer one request after the other with these statuses; return the port."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["X-Auth-Token"]))
                self.send_response(statuses.pop(0))
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        asked = self.asked
        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[tuple[str, str]] = []
        for name, value in {
            "devcloud.settings.HOST_ADDRESS": "127.0.0.1",
            "devcloud.probe._PAUSE_SECONDS": 0,
        }.items():
            self.useFixture(fixtures.MonkeyPatch(name, value))

    def _ask(self, statuses: list[int]) -> list[str]:
        question = (self._serve(statuses), "/v1/{project}/things")
        self.useFixture(fixtures.MonkeyPatch("devcloud.probe.QUESTIONS", {"heat-api": question}))
        login = probe.Login("secret", "p1")
        return [str(error) for error in probe.ask(["heat-api", "heat-engine"], login)]

    def test_works(self) -> None:
        """A service that answers is well; one without an API is not asked."""
        self.assertEqual([], self._ask([200]))
        self.assertEqual([("/v1/p1/things", "secret")], self.asked)

    def test_works_late(self) -> None:
        """It may take several attempts."""
        self.assertEqual([], self._ask([503, 500, 200]))

    def test_broken(self) -> None:
        """A service that only fails is named with its answer, without the token."""
        self.useFixture(fixtures.MonkeyPatch("devcloud.probe._DEADLINE_SECONDS", -1))
        [error] = self._ask([500])
        self.assertIn("heat-api answers 500 to GET /v1/p1/things", error)
        self.assertNotIn("secret", error)
