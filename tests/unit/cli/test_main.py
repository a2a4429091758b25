# SPDX-License-Identifier: Apache-2.0
"""How the command finds its cloud, and how it ends when something is wrong."""

from __future__ import annotations

import ast
import json
import pathlib
import subprocess
import sys

import magnum_swarm_mode.cli
from tests.unit.cli import fake_cloud
from tests.unit.cli.base import CommandTestCase


class CloudTest(CommandTestCase):
    def forget_environment(self) -> None:
        """Be a user without OS_* variables."""
        self.set_environment(**dict.fromkeys(self.cloud.environment))

    def test_clouds_yaml(self) -> None:
        """A cloud of clouds.yaml is chosen by --os-cloud or OS_CLOUD."""
        self.forget_environment()
        path = self.cloud.write_clouds_yaml(self.home, "mine")
        self.set_environment(OS_CLIENT_CONFIG_FILE=str(path))
        self.assertEqual(0, self.magnum("--os-cloud", "mine", "service-list").code)
        self.set_environment(OS_CLOUD="mine")
        self.assertEqual(0, self.magnum("service-list").code)

    def test_options(self) -> None:
        """Everything can be said with --os-* options, also with underscores in their names."""
        self.forget_environment()
        words = [f"--{name.lower()}={value}" for name, value in self.cloud.environment.items()]
        ran = self.magnum(*words, "service-list")
        self.assertEqual((0, ""), (ran.code, ran.err))

    def test_option_is_stronger_than_environment(self) -> None:
        """An option replaces the variable of its name."""
        self.set_environment(OS_USERNAME="nobody")
        self.assertEqual(1, self.magnum("service-list").code)
        self.assertEqual(0, self.magnum("--os-username", "demo", "service-list").code)

    def test_options_of_a_command_do_not_change_the_cloud(self) -> None:
        """--project-id of a command is not the project to authenticate for."""
        ran = self.magnum("stats-list", "--project-id", "another")
        self.assertEqual((0, ""), (ran.code, ran.err))

    def test_endpoint_override(self) -> None:
        """The endpoint can be given instead of taken from the catalogue."""
        ran = self.magnum(
            "--os-endpoint-override", f"{self.cloud.url}/magnum/v1", "--endpoint-type",
            "internalURL", "service-list",
        )  # fmt: skip
        self.assertEqual((0, ""), (ran.code, ran.err))

    def test_microversion(self) -> None:
        """The newest microversion is asked for unless another one is given."""
        self.magnum("service-list")
        self.assertEqual({"container-infra latest"}, self.cloud.versions)
        self.cloud.versions.clear()
        self.magnum("--magnum-api-version", "1.9", "service-list")
        self.assertEqual({"container-infra 1.9"}, self.cloud.versions)


class ErrorTest(CommandTestCase):
    def assert_one_line(self, expected: str, *words: str) -> None:
        """Expect code 1 and, on the standard error, one line that holds the expected text."""
        ran = self.magnum(*words)
        self.assertEqual((1, ""), (ran.code, ran.out))
        self.assertIn(expected, ran.err)
        self.assertTrue(ran.err.startswith("ERROR: "))
        self.assertEqual(1, ran.err.count("\n"))

    def test_no_cloud(self) -> None:
        """Without any configuration the user is told what to do."""
        self.set_environment(**dict.fromkeys(self.cloud.environment))
        self.assert_one_line("source an openrc file", "cluster-list")

    def test_unknown_cloud(self) -> None:
        """A cloud that no clouds.yaml names is named."""
        self.assert_one_line("Cloud nix was not found", "--os-cloud", "nix", "cluster-list")

    def test_wrong_password(self) -> None:
        """A refused login is Keystone's sentence."""
        self.set_environment(OS_PASSWORD="wrong")
        self.assert_one_line("requires authentication", "cluster-list")

    def test_keystone_away(self) -> None:
        """A Keystone that cannot be reached is named by its address."""
        self.set_environment(OS_AUTH_URL="http://127.0.0.1:9/v3")
        self.assert_one_line("127.0.0.1:9", "cluster-list")

    def test_not_in_the_catalogue(self) -> None:
        """A region without Magnum is named."""
        self.assert_one_line("Nowhere", "--os-region-name", "Nowhere", "cluster-list")

    def test_refusal(self) -> None:
        """What Magnum refuses is shown with its sentence."""
        self.cloud.add_template(name="t")
        sentence = "Label join_timout is not known: did you mean join_timeout?"
        body = json.dumps({"errors": [{"status": 400, "title": sentence, "detail": ""}]})
        self.cloud.failures["POST", "/clusters"] = (400, body, "application/json")
        self.assert_one_line(
            f"{sentence} (HTTP 400)", "cluster-create", "c", "--cluster-template", "t"
        )

    def test_refusal_whose_sentence_goes_on(self) -> None:
        """Magnum's title ends at the first full stop; what follows is shown, too."""
        title = "Invalid input for field/attribute coe"
        detail = f"{title}. Value: 'nix'. Value should be one of: swarm-mode, kubernetes"
        body = json.dumps({"errors": [{"status": 400, "title": title, "detail": detail}]})
        self.cloud.failures["POST", "/clustertemplates"] = (400, body, "application/json")
        self.assert_one_line(
            f"ERROR: {detail} (HTTP 400)", "cluster-template-create", "t", "--image", "i",
            "--external-network", "e", "--coe", "nix",
        )  # fmt: skip

    def test_rubbish(self) -> None:
        """An answer of something that is not Magnum is one line, whatever its status."""
        page = "<html>\n<body>Bad Gateway</body>\n</html>"
        for status in (200, 502, 503):
            self.cloud.failures["GET", "/clusters"] = (status, page, "text/html")
            self.assert_one_line("", "cluster-list")

    def test_unknown_template(self) -> None:
        """A template that does not exist is named and no cluster is asked for."""
        self.assert_one_line(
            "nix could not be found", "cluster-create", "c", "--cluster-template", "nix"
        )
        self.assertEqual([("GET", "/clustertemplates/nix", None)], self.cloud.requests)

    def test_label_without_value(self) -> None:
        """A label without = is named before anything is sent."""
        self.cloud.add_template(name="t")
        self.assert_one_line(
            "nonsense", "cluster-create", "c", "--cluster-template", "t", "--labels", "nonsense"
        )

    def test_unknown_command(self) -> None:
        """A misspelt command leads to the nearest one."""
        self.assert_one_line("did you mean 'cluster-list'?", "cluster-lits")

    def test_unknown_field(self) -> None:
        """A field to list that does not exist is named together with those that do."""
        self.cloud.add_cluster(name="c")
        self.assert_one_line("There is no field 'colour'", "cluster-list", "--fields", "colour")

    def test_wrong_option(self) -> None:
        """A wrong option is one line that points to the help, with argparse's code 2."""
        ran = self.magnum("cluster-list", "--nix")
        self.assertEqual(
            (2, "magnum cluster-list: error: unrecognized arguments: --nix."
                " Try 'magnum help cluster-list'.\n"),
            (ran.code, ran.err),
        )  # fmt: skip

    def test_debug_shows_the_traceback_but_no_secret(self) -> None:
        """With --debug requests and the traceback are shown; password and token never are."""
        process = subprocess.run(
            [sys.executable, "-m", "magnum_swarm_mode.cli", "--debug", "cluster-show", "nix"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(1, process.returncode)
        self.assertIn("Traceback", process.stderr)
        self.assertIn("/magnum/v1/clusters/nix", process.stderr)
        self.assertNotIn(fake_cloud.PASSWORD, process.stderr)
        self.assertNotIn(fake_cloud.TOKEN, process.stderr)

    def test_reader_that_goes_away(self) -> None:
        """A pipe that is closed early (head) causes no complaint."""
        process = subprocess.run(
            f"{sys.executable} -m magnum_swarm_mode.cli help | true",
            shell=True, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual("", process.stderr)


class ImportTest(CommandTestCase):
    def test_shares_nothing_with_the_control_side(self) -> None:
        """No module of the command imports the driver, Magnum or a server's library."""
        allowed = {
            "docker", "keystoneauth1", "magnumclient", "openstack", "prettytable", "requests",
            "magnum_swarm_mode",
            *sys.stdlib_module_names,
        }  # fmt: skip
        own = ("cli", "wire", "text")
        shared = tuple(f"magnum_swarm_mode.{name}" for name in own)
        package = pathlib.Path(magnum_swarm_mode.cli.__file__).parent.parent
        found = [
            package / "text.py",
            *(p for name in own for p in package.rglob(f"{name}/**/*.py")),
        ]
        for path in sorted(found):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in names:
                    self.assertIn(name.split(".")[0], allowed, f"{path.name} imports {name}")
                    if name.startswith("magnum_swarm_mode"):
                        self.assertTrue(name.startswith(shared), f"{path.name} imports {name}")

    def test_runs_without_the_server(self) -> None:
        """Running the command loads no package of the Magnum server."""
        program = (
            "import sys; from magnum_swarm_mode.cli import main; main.main(['help']);"
            "assert not {'magnum', 'oslo_messaging', 'sqlalchemy'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)
