# SPDX-License-Identifier: Apache-2.0
"""The wheel and the source archive hold everything, and work where there is no checkout."""

from __future__ import annotations

import configparser
import dataclasses
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from collections.abc import Iterable

import fixtures
from oslotest import base

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
# What pbr or git would take from the machine instead of from the sources.
_FOREIGN = ("PBR_", "GIT_", "PYTHON", "SETUPTOOLS")
_IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def run(*command: str | pathlib.Path, cwd: pathlib.Path, **variables: str) -> str:
    """Run a command to its end and return what it printed.

    :raises AssertionError: with both streams, if it fails.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def sources() -> list[str]:
    """Return the files of the checkout that are or could be committed."""
    listed = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
        cwd=CHECKOUT, **_IDENTITY,
    )  # fmt: skip
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()]


def copy_sources(target: pathlib.Path) -> list[str]:
    """Make a repository of one commit and no tag from the checkout as it is; return its files."""
    names = sources()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target / name)
    run("git", "init", "-q", cwd=target)
    run("git", "add", "--all", cwd=target)
    run("git", "commit", "-q", "-m", "all", cwd=target, **_IDENTITY)
    return names


@dataclasses.dataclass(frozen=True)
class Built:
    """What was built, in a directory that the module's end removes.

    ``sources`` are the files of ``clone``; ``again`` is the wheel made from the source archive.
    """

    clone: pathlib.Path
    sources: list[str]
    archive: pathlib.Path
    wheel: pathlib.Path
    again: pathlib.Path


BUILT: Built


def setUpModule() -> None:
    """Build once for all tests, as a build takes seconds and they only read it."""
    global BUILT
    work = pathlib.Path(tempfile.mkdtemp(prefix="magnum-swarm-mode-"))
    unittest.addModuleCleanup(shutil.rmtree, work)
    clone, dist, again = work / "clone", work / "dist", work / "again"
    clone.mkdir()
    names = copy_sources(clone)
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--sdist", "--wheel", "-o", dist, clone, cwd=work)
    [archive], [wheel] = dist.glob("*.tar.gz"), dist.glob("*.whl")
    run(*build, "--wheel", "-o", again, _unpack(archive, work), cwd=work)
    [second] = again.glob("*.whl")
    BUILT = Built(clone, names, archive, wheel, second)


def _unpack(archive: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    # Outside of any repository, so that no git says what is in it.
    with tarfile.open(archive) as tar:
        tar.extractall(work / "unpacked", filter="data")
    [top] = (work / "unpacked").iterdir()
    return top


class ContentTest(base.BaseTestCase):
    def test_wheel_holds_every_template(self) -> None:
        """The templates of the checkout are in the wheel, byte for byte, and no others."""
        expected = {
            f"magnum_swarm_mode/{name}": (BUILT.clone / name).read_bytes()
            for name in BUILT.sources
            if name.startswith("templates/")
        }
        with zipfile.ZipFile(BUILT.wheel) as wheel:
            names = [n for n in wheel.namelist() if n.startswith("magnum_swarm_mode/templates/")]
            self.assertEqual(expected, {name: wheel.read(name) for name in names})
        self.assertNotEqual({}, expected)

    def test_wheel_holds_every_module_and_nothing_beside_the_package(self) -> None:
        """All of the package is in the wheel; tests, tools and devcloud are not."""
        expected = {name for name in BUILT.sources if name.startswith("magnum_swarm_mode/")}
        with zipfile.ZipFile(BUILT.wheel) as wheel:
            names = wheel.namelist()
        self.assertEqual(set(), expected - set(names))
        tops = {name.split("/")[0].split("-")[0] for name in names}
        self.assertEqual({"magnum_swarm_mode"}, tops)

    def test_source_archive_holds_the_checkout(self) -> None:
        """The source archive holds what is committed, so that it can be tested and built."""
        with tarfile.open(BUILT.archive) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        self.assertEqual(set(), set(BUILT.sources) - names - {".gitignore"})

    def test_source_archive_builds_the_same_wheel(self) -> None:
        """Without git, the source archive gives the wheel that the checkout gives."""
        self.assertEqual(BUILT.wheel.name, BUILT.again.name)
        self.assertEqual(_contents(BUILT.wheel), _contents(BUILT.again))

    def test_metadata(self) -> None:
        """Magnum is asked for by the extra "server" only."""
        with zipfile.ZipFile(BUILT.wheel) as wheel:
            [name] = [n for n in wheel.namelist() if n.endswith("/METADATA")]
            lines = wheel.read(name).decode().splitlines()
        asked = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]
        magnum = [line for line in asked if line.startswith("magnum")]
        self.assertEqual(1, len(magnum))
        self.assertIn('extra == "server"', magnum[0].replace("'", '"'))
        self.assertIn("License: Apache-2.0", lines)


def _contents(wheel: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        # pbr.json holds the commit, which an archive does not know.
        skipped = ("/RECORD", "/pbr.json")
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith(skipped)}


class InstalledTest(base.BaseTestCase):
    """The wheel beside the libraries of this environment, used from the root directory."""

    def setUp(self) -> None:
        super().setUp()
        self.site = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
        run(*pip, "--target", self.site, BUILT.wheel, cwd=self.site)

    def python(self, program: str) -> str:
        """Run a program where the wheel is found first and the checkout not at all."""
        return run(sys.executable, "-c", program, cwd=pathlib.Path("/"), PYTHONPATH=str(self.site))

    def test_entry_points_load(self) -> None:
        """Everything that setup.cfg promises to others can be imported from the wheel."""
        program = (
            "import importlib.metadata, json, sys\n"
            f"site = {str(self.site)!r}\n"
            "[d] = importlib.metadata.distributions(name='magnum-swarm-mode', path=[site])\n"
            "names = [e.load() and [e.group, e.name] for e in d.entry_points]\n"
            "import magnum_swarm_mode\n"
            "assert magnum_swarm_mode.__file__.startswith(site)\n"
            "print(json.dumps(sorted(names)))"
        )
        setup = configparser.ConfigParser()
        setup.read(CHECKOUT / "setup.cfg")
        self.assertEqual(
            sorted(_entry_points(setup["entry_points"].items())),
            json.loads(self.python(program).splitlines()[-1]),
        )

    def test_templates_are_found(self) -> None:
        """The driver reads the templates inside the package when there is no checkout."""
        found = self.python(
            "from magnum_swarm_mode.stack.files import templates;"
            "print(templates.template_directory())"
        )
        self.assertEqual(f"{self.site}/magnum_swarm_mode/templates/heat", found.strip())

    def test_node_program_is_the_same_as_from_the_checkout(self) -> None:
        """User-data rendered by the wheel is, byte for byte, what the checkout renders."""
        program = (
            "import hashlib, json; from magnum_swarm_mode.stack.files import user_data;"
            "from magnum_swarm_mode.node import manifest;"
            "print(json.dumps({r: hashlib.sha256(user_data.render(r).encode()).hexdigest()"
            " for r in manifest.MODULES}))"
        )
        checkout = run(sys.executable, "-c", program, cwd=BUILT.clone, PYTHONPATH=str(BUILT.clone))
        installed = self.python(program)
        self.assertEqual({"manager", "worker"}, set(json.loads(checkout)))
        self.assertEqual(checkout, installed)


def _entry_points(groups: Iterable[tuple[str, str]]) -> list[list[str]]:
    return [
        [group, line.partition("=")[0].strip()]
        for group, lines in groups
        for line in lines.strip().splitlines()
    ]


class EmptyEnvironmentTest(base.BaseTestCase):
    """The bare wheel in an environment that had nothing."""

    def test_command_without_the_server(self) -> None:
        """The commands work and bring nothing of the Magnum server, whose extra would fit, too."""
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        run(sys.executable, "-m", "venv", root / "venv", cwd=root)
        python = root / "venv/bin/python"
        run(python, "-m", "pip", "install", "--quiet", BUILT.wheel, cwd=root)
        run(python, "-m", "pip", "check", cwd=root)
        here = pathlib.Path("/")
        self.assertIn("cluster-create", run(root / "venv/bin/magnum", "help", cwd=here))
        # What an operator's magnum.conf says of the driver does not make it look for Magnum.
        snippet = BUILT.clone / "etc/magnum.conf.snippet"
        rendered = run(
            root / "venv/bin/magnum-swarm-mode", "render", "--image", "debian",
            "--external-network", "public", "--config-file", snippet, cwd=here,
        )  # fmt: skip
        self.assertIn("--- # cloud-init/worker.yaml", rendered)
        installed = json.loads(run(python, "-m", "pip", "list", "--format=json", cwd=here))
        names = {package["name"].lower() for package in installed}
        self.assertEqual(set(), names & {"magnum", "sqlalchemy", "pecan", "wsme", "oslo.db"})
        found = run(
            python, "-c", "from magnum_swarm_mode.stack.files import templates;"
            "print(len(list(templates.template_directory().rglob('*.yaml'))))", cwd=here,
        )  # fmt: skip
        self.assertEqual(len(list((BUILT.clone / "templates/heat").rglob("*.yaml"))), int(found))
        # The extra "server", as installations ask for it, fits together with what they add. It is
        # resolved only, as it is half a gigabyte; the releases that run together are pinned.
        run(
            python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", root / "report",
            "--constraint", CHECKOUT / "devcloud/constraints.txt",
            f"{BUILT.wheel}[server]", "PyMySQL", "pyuwsgi", "python-memcached", cwd=root,
        )  # fmt: skip
        report = json.loads((root / "report").read_text())
        names = {one["metadata"]["name"].lower() for one in report["install"]}
        self.assertEqual(set(), {"magnum", "pymysql", "pyuwsgi", "sqlalchemy"} - names)


class RequirementsTest(base.BaseTestCase):
    def test_habits_name_each_requirement(self) -> None:
        """HACKING names every requirement and the modules it serves, which are there."""
        text = (CHECKOUT / "HACKING.rst").read_text()
        for line in io.StringIO((CHECKOUT / "requirements.txt").read_text()):
            name = line.partition(">=")[0].strip()
            if name and not name.startswith("#"):
                [row] = [r for r in text.splitlines() if r.startswith(f"``{name}``")]
                modules = re.findall(r"``([a-z_/]+\.py)``", row)
                self.assertNotEqual([], modules, name)
                for module in modules:
                    self.assertTrue((CHECKOUT / module).is_file(), f"{name}: {module}")
