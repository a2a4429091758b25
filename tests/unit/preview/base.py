# SPDX-License-Identifier: Apache-2.0
"""The command in this process, with what it printed."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
from typing import Any

import fixtures
import yaml
from oslotest import base

from magnum_swarm_mode import conf
from magnum_swarm_mode.preview import main

# The template and the cluster of the first commands of the project.
FIRST = (
    "--name", "swarm-mode-cluster", "--image-id", "ubuntu_xenial", "--keypair-id", "fuel",
    "--fixed-network", "private", "--external-network-id", "public", "--dns-nameserver", "8.8.8.8",
    "--flavor-id", "m1.medium", "--docker-volume-size", "5", "--coe", "swarm-mode",
    "--manager-count", "3", "--node-count", "8",
)  # fmt: skip
LEAST = ("--image", "debian", "--external-network", "public")


class RenderTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        # What a configuration file said must not stay for other tests.
        self.addCleanup(conf.CONF.clear)

    def run_command(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error of ``magnum-swarm-mode``."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main.main(list(arguments))
            except SystemExit as end:
                code = int(end.code or 0)
        return code, out.getvalue(), err.getvalue()

    def render(self, *arguments: str) -> dict[str, str]:
        """Return the files that a rendering writes, as texts."""
        target = self.directory / "out"
        code, out, err = self.run_command("render", "--output", str(target), *arguments)
        self.assertEqual((0, ""), (code, err))
        return {
            str(pathlib.Path(line).relative_to(target)): pathlib.Path(line).read_text()
            for line in out.splitlines()
        }

    def parameters(self, *arguments: str) -> dict[str, Any]:
        """Return the parameters of a rendering."""
        found: dict[str, Any] = yaml.safe_load(self.render(*arguments)["parameters.yaml"])
        return found["parameters"]

    def refused(self, *arguments: str) -> str:
        """Return the sentence of a refusal."""
        code, out, err = self.run_command("render", *arguments)
        self.assertEqual((1, ""), (code, out))
        self.assertStartsWith(err, "ERROR: ")
        return err.removeprefix("ERROR: ").rstrip("\n")

    def assertStartsWith(self, text: str, start: str) -> None:  # noqa: N802 (unittest's style)
        """Check the beginning of a text."""
        self.assertEqual(start, text[: len(start)], text)

    def file(self, name: str, content: Any) -> str:
        """Write a file, JSON unless it is text, and return its path."""
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


def configuration(texts: dict[str, str], role: str) -> dict[str, Any]:
    """Return what a node of a role is told in its cloud-init."""
    config = yaml.safe_load(texts[f"cloud-init/{role}.yaml"])
    found: dict[str, Any] = json.loads(config["write_files"][0]["content"])
    return found
