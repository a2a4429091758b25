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

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.conf import CONF
from magnum_swarm_mode.node import manifest
from magnum_swarm_mode.stack.files import user_data
from tests.unit.heat import samples

NODE = pathlib.Path(user_data.__file__).parent / "node"


def filled(role: str, managers: int = 3) -> str:
    """Return a role's user-data as Heat hands it to Nova."""
    told = json.dumps(samples.configuration(role, managers=managers), sort_keys=True)
    return user_data.render(role).replace(user_data.CONFIGURATION, told)


class TestUserData(base.BaseTestCase):
    def test_every_role_stays_below_two_fifths_of_novas_limit(self):
        """With three managers and their certificates user-data leaves room to grow."""
        for role in manifest.MODULES:
            share = user_data.share(filled(role))
            self.assertLessEqual(share, 0.40, f"{role}: {share:.1%} of Nova's limit")

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

    def test_the_same_sources_give_the_same_text(self):
        """Packing again changes nothing."""
        first = user_data.pack("manager")
        user_data.pack.cache_clear()
        user_data.program.cache_clear()
        self.assertEqual(first, user_data.pack("manager"))

    def test_clusters_that_are_made_at_once(self):
        """A conductor that has packed nothing yet can make several clusters at once."""
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)
        user_data.program.cache_clear()
        user_data.pack.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            texts = set(pool.map(user_data.render, ["manager", "worker"] * 4))
        self.assertEqual(2, len(texts))

    def test_what_it_runs_makes_the_program(self):
        """The first command turns the packed text into the program, which knows its verbs."""
        for role in manifest.MODULES:
            directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            config = yaml.safe_load(filled(role))
            text = next(f["content"] for f in config["write_files"] if f["path"].endswith("b94"))
            (directory / "node.b94").write_text(text)
            python, dash_c, script = config["runcmd"][0]
            self.assertEqual(("python3", "-c"), (python, dash_c))
            script = script.replace("/usr/local/lib/magnum-swarm-mode", str(directory))
            subprocess.run([sys.executable, "-c", script], check=True)
            file = directory / "node.py"
            self.assertEqual(user_data.program(role), file.read_text())
            # -I -S: nothing but the standard library is there.
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(file)], capture_output=True, text=True
            )
            self.assertEqual((2, ""), (done.returncode, done.stdout), done.stderr)
            self.assertIn("usage: ", done.stderr)

    def test_the_program_is_started_last(self):
        """Everything else is the node program's own duty."""
        self.assertEqual(
            ["python3", "/usr/local/lib/magnum-swarm-mode/node.py", "install"],
            yaml.safe_load(filled("worker"))["runcmd"][-1],
        )

    def test_the_minified_program_parses_as_python_3_9(self):
        """A node's Python may be older than the conductor's."""
        for role in manifest.MODULES:
            ast.parse(user_data.program(role), role, feature_version=(3, 9))

    def test_no_text_inside_the_braces_of_an_f_string(self):
        """Python 3.12 and later print those in a way that an older Python cannot parse."""
        for path in sorted(NODE.glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FormattedValue):
                    texts = [
                        inner.value
                        for inner in ast.walk(node.value)
                        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
                    ]
                    self.assertEqual([], texts, f"{path}:{node.lineno}")

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
