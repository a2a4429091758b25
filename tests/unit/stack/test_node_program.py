# SPDX-License-Identifier: Apache-2.0
"""The packed node program: what is in it, and that it does not depend on where it is packed."""

import ast
import base64
import bz2
import io
import pathlib
import tarfile
import tokenize
from collections.abc import Iterator
from unittest import mock

from oslotest import base

from magnum_swarm_mode import exceptions, node
from magnum_swarm_mode.node import manifest
from magnum_swarm_mode.stack.files import node_program

NODE = pathlib.Path(node.__file__).parent


def members(role: str) -> dict[str, tarfile.TarInfo]:
    """Return what a role's archive says of its files, by name."""
    data = bz2.decompress(base64.b85decode(node_program.pack(role)))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def sources(role: str) -> dict[str, str]:
    """Return a role's packed modules, by name."""
    data = bz2.decompress(base64.b85decode(node_program.pack(role)))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]


def definitions(source: str) -> Iterator[tuple[str, str]]:
    """Yield the names of functions, classes and variables, with the kind of syntax they are."""
    for item in ast.walk(ast.parse(source)):
        if isinstance(item, (ast.FunctionDef, ast.ClassDef)):
            yield type(item).__name__, item.name
        elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
            yield "Name", item.id


class NodeProgramTest(base.BaseTestCase):
    def test_only_what_a_role_needs(self):
        """The archive holds the modules that the manifest names for the role, and the start."""
        for role, names in manifest.MODULES.items():
            expected = {"__main__.py", *(f"node/{name}" for name in names)}
            self.assertEqual(expected, set(members(role)), role)

    def test_the_same_sources_give_the_same_text(self):
        """Packing again, at another time, changes nothing."""
        first = node_program.pack("manager")
        node_program._pack.cache_clear()
        with mock.patch("time.time", return_value=1.0):
            self.assertEqual(first, node_program.pack("manager"))

    def test_nothing_of_the_server_that_packs(self):
        """Files belong to root, and neither time nor names of users are kept."""
        for member in members("manager").values():
            self.assertEqual(
                (0, 0, 0, "", "", 0o644),
                (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode),
                member.name,
            )

    def test_names_stay_for_tracebacks(self):
        """Functions, classes and variables are called as in the sources."""
        for name, text in sources("manager").items():
            if name != "__main__.py":
                written = set(definitions((NODE.parent / name).read_text()))
                self.assertEqual(set(), set(definitions(text)) - written, name)

    def test_what_only_people_need_does_not_travel(self):
        """Docstrings, comments and annotations of functions are left out."""
        for name, text in sources("manager").items():
            documented = [
                item
                for item in ast.walk(ast.parse(text))
                if isinstance(item, (ast.Module, ast.FunctionDef, ast.ClassDef))
                and ast.get_docstring(item)
            ]
            self.assertEqual([], documented, name)
            kinds = {one.type for one in tokenize.generate_tokens(io.StringIO(text).readline)}
            self.assertNotIn(tokenize.COMMENT, kinds, name)
            self.assertNotIn(")->", text, name)

    def test_python_3_9(self):
        """A node's Python may be older than the conductor's."""
        for role in manifest.MODULES:
            for name, text in sources(role).items():
                ast.parse(text, name, feature_version=(3, 9))

    def test_a_module_that_is_missing_or_no_python(self):
        """An installation that is not complete is the operator's concern, and names the module."""
        for name in ("nowhere.py", "__pycache__"):
            self.addCleanup(node_program._pack.cache_clear)
            with mock.patch.dict(manifest.MODULES, {"other": (name,)}):
                error = self.assertRaises(exceptions.Inconsistent, node_program.pack, "other")
            self.assertIn(f"{NODE / name} of the node program: ", error.operator_message)
