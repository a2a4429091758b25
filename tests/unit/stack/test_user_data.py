# SPDX-License-Identifier: Apache-2.0
"""User-data: what cloud-init is given, how large it is, and what it makes on a node."""

import ast
import json
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import fixtures
import yaml
from oslotest import base

from magnum_swarm_mode import exceptions, node
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.node import manifest
from magnum_swarm_mode.stack.files import node_program, user_data
from tests.unit.stack import samples

NODE = pathlib.Path(node.__file__).parent
# Where the program is on a node.
PLACE = "/usr/local/lib/magnum-swarm-mode"


def filled(role: str, managers: int = 3) -> str:
    """Return a role's user-data as Heat hands it to Nova."""
    told = json.dumps(samples.configuration(role, managers=managers), sort_keys=True)
    return user_data.render(role).replace(user_data.CONFIGURATION, told)


class TestUserData(base.BaseTestCase):
    def test_every_role_stays_below_three_fifths_of_novas_limit(self):
        """With three managers and their certificates user-data leaves room to grow."""
        for role in manifest.MODULES:
            share = user_data.share(filled(role))
            self.assertLessEqual(share, 0.60, f"{role}: {share:.1%} of Nova's limit")

    def test_share_counts_what_nova_counts(self):
        """The share is of the length after base64."""
        self.assertEqual(4 / user_data.NOVA_LIMIT, user_data.share("a"))
        self.assertEqual(4 / user_data.NOVA_LIMIT, user_data.share("ä"))
        self.assertEqual(8 / user_data.NOVA_LIMIT, user_data.share("abcd"))

    def test_it_is_cloud_config(self):
        """Cloud-init takes it for YAML of its own kind."""
        for role in manifest.MODULES:
            text = filled(role)
            self.assertEqual("#cloud-config", text.splitlines()[0])
            self.assertEqual(
                {"manage_etc_hosts", "write_files", "runcmd"}, set(yaml.safe_load(text))
            )

    def test_the_configuration_is_a_file_of_root_alone(self):
        """The node's configuration, with its secrets, arrives whole and only root reads it."""
        for role in manifest.MODULES:
            file = yaml.safe_load(filled(role))["write_files"][0]
            self.assertEqual("/etc/magnum-swarm-mode/config.json", file["path"])
            self.assertEqual("0600", file["permissions"])
            self.assertEqual(samples.configuration(role), json.loads(file["content"]))

    def test_clusters_that_are_made_at_once(self):
        """A conductor that has packed nothing yet can make several clusters at once."""
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)
        node_program._pack.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            texts = set(pool.map(user_data.render, ["manager", "worker"] * 4))
        self.assertEqual(2, len(texts))

    def _unpack(self, role: str) -> pathlib.Path:
        """Do what cloud-init does, below another root; return the program's directory."""
        root = self.useFixture(fixtures.TempDir()).path
        config = yaml.safe_load(filled(role))
        for file in config["write_files"]:
            path = pathlib.Path(root + file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
        # What the snapshot of a node holds of an earlier program.
        old = pathlib.Path(root + PLACE, "node", "old.py")
        old.parent.mkdir(parents=True)
        old.touch()
        python, *flags, script = config["runcmd"][0]
        self.assertEqual(("python3", ["-Wi", "-c"]), (python, flags))
        script = script.replace(PLACE, root + PLACE)
        for interpreter in (sys.executable, "/usr/bin/python3"):
            # -I -S: nothing but the standard library is there.
            done = subprocess.run(
                [interpreter, "-I", "-S", *flags, script], capture_output=True, text=True
            )
            self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        self.assertFalse(old.exists())
        return pathlib.Path(root + PLACE)

    def test_what_it_runs_makes_the_program(self):
        """The first command turns the packed text into the program, which knows its verbs."""
        for role in manifest.MODULES:
            directory = self._unpack(role)
            self.assertEqual(
                {"__main__.py", *(f"node/{name}" for name in manifest.MODULES[role])},
                {str(path.relative_to(directory)) for path in directory.rglob("*.py")},
            )
            for interpreter in (sys.executable, "/usr/bin/python3"):
                done = subprocess.run(
                    [interpreter, "-I", "-S", str(directory)], capture_output=True, text=True
                )
                self.assertEqual((2, ""), (done.returncode, done.stdout), done.stderr)
                self.assertIn("usage: ", done.stderr)

    def test_every_packed_module_can_be_imported(self):
        """A role's modules need no module that its nodes do not have."""
        for role in manifest.MODULES:
            directory = self._unpack(role)
            modules = [name for name in manifest.MODULES[role] if "__" not in name]
            names = [f"node.{name[:-3].replace('/', '.')}" for name in modules]
            program = f"import sys; sys.path.insert(0, {str(directory)!r}); import "
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", program + ", ".join(names)],
                capture_output=True,
                text=True,
            )
            self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_the_program_is_started_last(self):
        """Everything else is the node program's own duty."""
        self.assertEqual(
            ["python3", PLACE, "install"],
            yaml.safe_load(filled("worker"))["runcmd"][-1],
        )

    def test_no_text_inside_the_braces_of_an_f_string(self):
        """Minified by Python 3.12 or later, it would be nothing that an older Python can parse."""
        paths = sorted(NODE.rglob("*.py"))
        self.assertIn(NODE / "main.py", paths)
        for path in paths:
            for item in ast.walk(ast.parse(path.read_text())):
                if isinstance(item, ast.FormattedValue):
                    texts = [
                        inner.value
                        for inner in ast.walk(item.value)
                        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
                    ]
                    self.assertEqual([], texts, f"{path}:{item.lineno}")

    def _template(self, text: str) -> None:
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (directory / "user_data").mkdir()
        (directory / "user_data" / "node.yaml.j2").write_text(text)
        CONF.set_override("template_path", str(directory), "swarm_mode")
        self.addCleanup(CONF.clear_override, "template_path", "swarm_mode")

    def test_a_template_without_place_for_the_configuration_is_an_error(self):
        """An operator's own template that would lose the configuration is not used."""
        self._template("#cloud-config\n{{ program }}")
        error = self.assertRaises(exceptions.Inconsistent, user_data.render, "worker")
        self.assertIn("@CONFIGURATION@ exactly once", error.operator_message)

    def test_a_template_that_jinja_cannot_read_is_an_error(self):
        """The operator is told which template is wrong and why."""
        self._template("{{ nonsense }}")
        error = self.assertRaises(exceptions.Inconsistent, user_data.render, "worker")
        self.assertIn("node.yaml.j2: 'nonsense' is undefined", error.operator_message)
