# SPDX-License-Identifier: Apache-2.0
"""Build with pbr; the templates beside the package become data inside it.

In a checkout the templates are in ``templates/heat``, where an operator looks for them. Wheels have
no place beside the package, so there they are in ``magnum_swarm_mode/templates/heat``.
"""

import pathlib
import shutil

import setuptools
from setuptools.command import build_py

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATES = "templates/heat"


class BuildWithTemplates(build_py.build_py):
    """Copies the templates into the package that is built, and only there."""

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return
        target = pathlib.Path(self.build_lib, "magnum_swarm_mode", TEMPLATES)
        # A build directory that is used again must not keep a template that was removed.
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            HERE / TEMPLATES, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        )


class Distribution(setuptools.Distribution):
    """Knows the command above; pbr replaces what ``cmdclass`` says."""

    def get_command_class(self, command):
        return BuildWithTemplates if command == "build_py" else super().get_command_class(command)


setuptools.setup(setup_requires=["pbr>=6.1.1"], pbr=True, distclass=Distribution)
