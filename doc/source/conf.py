# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration; ``tools/test docs`` builds with warnings as errors."""

import pathlib
import sys

_HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE.parent.parent), str(_HERE / "_ext")]

project = "magnum-swarm-mode"
author = "OpenStack Magnum Swarm Mode contributors"
copyright = "OpenStack Magnum Swarm Mode contributors"

extensions = [
    "magnum_command",
    "openstackdocstheme",
    "reno.sphinxext",
    "swarm_mode_tables",
    "swarm_mode_tests",
]
exclude_patterns = ["_generated", "**/*.inc"]

html_theme = "openstackdocs"
# The theme would look for a version in a git remote that a clone need not have.
openstackdocs_auto_version = False
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False
version = release = ""
html_last_updated_fmt = None
