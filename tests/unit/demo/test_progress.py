# SPDX-License-Identifier: Apache-2.0
import io
import pathlib
import re

from oslotest import base

from devcloud.demo import observe, progress, steps

SEEN = observe.Seen(
    status="CREATE_IN_PROGRESS",
    reason="",
    managers_wanted=3,
    workers_wanted=8,
    servers_asked=9,
    servers_running=7,
    resources=40,
    resources_done=25,
    managers_joined=2,
    workers_joined=3,
    failures=(),
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class TestDisplay(base.BaseTestCase):
    def test_line(self) -> None:
        """One line names machines, managers, workers, Heat's resources and the status."""
        self.assertEqual(
            "[#####......] booted 7/11, joined: managers 2/3, workers 3/8; "
            "Heat resources 25/40; CREATE_IN_PROGRESS",
            progress.line(SEEN),
        )

    def test_plain(self) -> None:
        """Without a terminal a line is written when something changed, at most every 5 s."""
        stream = io.StringIO()
        display = progress.Display(stream)
        for seconds, text in ((0, "a"), (3, "b"), (6, "b"), (12, "b"), (36, "b"), (37, "c")):
            display.show(text, seconds)
        display.close()
        self.assertEqual(
            ["0:00  a", "0:06  b", "0:36  b"],
            [line.strip() for line in stream.getvalue().splitlines()],
        )

    def test_terminal(self) -> None:
        """On a terminal one line changes, cut to its width, and ends once."""
        stream = Terminal()
        display = progress.Display(stream)
        display.show("x" * 500, 1)
        display.show("b", 65)
        display.close()
        display.close()
        shown = stream.getvalue()
        self.assertEqual(1, shown.count("\n"))
        self.assertIn("\r\x1b[K  1:05  b\n", shown)
        self.assertTrue(all(len(part) < 200 for part in re.split(r"\r|\n", shown)))

    def test_duration(self) -> None:
        """Durations are rounded before they are cut into minutes."""
        self.assertEqual(
            ["0 s", "59 s", "1 min 0 s", "2 min 5 s"],
            [progress.duration(seconds) for seconds in (0.2, 59.4, 59.6, 125)],
        )


class TestSteps(base.BaseTestCase):
    def test_next_step(self) -> None:
        """What is there already decides what a run does."""
        expected = {
            None: steps.Step.CREATE,
            "CREATE_IN_PROGRESS": steps.Step.WAIT,
            "UPDATE_IN_PROGRESS": steps.Step.WAIT,
            "DELETE_IN_PROGRESS": steps.Step.WAIT_UNTIL_GONE,
            "CREATE_FAILED": steps.Step.REMOVE,
            "DELETE_FAILED": steps.Step.REMOVE,
            "CREATE_COMPLETE": steps.Step.USE,
            "UPDATE_FAILED": steps.Step.USE,
        }
        self.assertEqual(expected, {status: steps.next_step(status) for status in expected})

    def test_commands(self) -> None:
        """The words of the two commands are the fixed ones."""
        self.assertEqual(
            "magnum cluster-template-create --name swarm-mode-cluster-template "
            "--image-id ubuntu_xenial --keypair-id fuel --fixed-network private "
            "--external-network-id public --dns-nameserver 8.8.8.8 --flavor-id m1.medium "
            "--docker-volume-size 5 --coe swarm-mode",
            " ".join(steps.CREATE_TEMPLATE.replace("\\\n", "").split()),
        )
        self.assertEqual(
            "magnum cluster-create --name swarm-mode-cluster --cluster-template "
            "swarm-mode-cluster-template --manager-count 3 --node-count 8",
            " ".join(steps.CREATE_CLUSTER.replace("\\\n", "").split()),
        )

    def test_standard_library_only(self) -> None:
        """The demonstration starts on a machine where nothing is installed."""
        for path in pathlib.Path(steps.__file__).parent.glob("*.py"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if match := re.match(r"(?:from|import) (\w+)", line):
                    self.assertIn(match[1], {"devcloud"} | __import__("sys").stdlib_module_names)
