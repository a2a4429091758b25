# SPDX-License-Identifier: Apache-2.0
"""One file of several modules: it does what they do, without what only people need."""

import builtins
import contextlib
import dis
import io
import pathlib
import runpy
import types
from collections.abc import Iterator

import fixtures
from oslotest import base

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.node import manifest
from magnum_swarm_mode.stack.files import node_program, user_data

# What the worker's program leaves to the managers', and never calls.
FOREIGN = ("certificates__", "formation__", "join_server__", "manager__", "proxy__")

BOTTOM = '''
"""The bottom."""
from dataclasses import dataclass, fields
from typing import Any, List
import os.path

LIMIT: int = 3
_HIDDEN = "hidden"

@dataclass
class Thing:
    """A thing."""
    name: str
    many: List[int]
    limit: int = LIMIT

    def never(self) -> None:
        """Nobody calls this."""

def run(text: str, *, times: int = LIMIT) -> str:
    """Repeat."""
    return text * times + _HIDDEN + os.path.sep

def unused() -> Any:
    return run("never")
'''
MIDDLE = '''
from . import bottom
from .bottom import LIMIT, Thing

def run(limit: int = LIMIT) -> str:
    """The same name as below, and a parameter of a name from below."""
    LIMIT = limit + 1
    def inner(bottom: str) -> str:
        return bottom + bottom.upper() + str(LIMIT)
    return inner("b") + bottom.run("x", times=2) + "".join(f"{Thing}" for Thing in "yz")

class Counter:
    def __init__(self, start: int) -> None:
        self._count = start
        self.bottom = bottom.LIMIT
    def next(self, step: int = 1) -> int:
        self._count += step
        return self._count
'''
MAIN = """
import importlib
import sys
from . import bottom, middle
from .bottom import Thing

def _module(name):
    return importlib.import_module(f".{name}", __package__)

def main(words=None):
    counter = middle.Counter(40)
    thing = Thing("n", [1])
    if words:
        _module("other").run()
    print(middle.run(), counter.next(step=2), counter.bottom, thing, _module(thing.name).NAME)
    try:
        raise ValueError("why")
    except ValueError as bottom_error:
        print(bottom_error, [bottom for bottom in (lambda run: run + run)("ab")])
    return 7
"""
ROLE = "NAME = 'the role'\n"


def made(**changes: str) -> str:
    sources = {"bottom": BOTTOM, "middle": MIDDLE, "main": MAIN, "role": ROLE} | changes
    return node_program.make(sources, "role")


def names(code: types.CodeType) -> Iterator[tuple[str, str]]:
    """Yield how and which names outside functions a code uses."""
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith(("LOAD_", "STORE_")) and instruction.opname.endswith(
            ("_GLOBAL", "_NAME")
        ):
            yield instruction.opname, instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names(constant)


class TestProgram(base.BaseTestCase):
    def test_one_file_does_what_the_modules_do(self):
        """Names of modules, of locals that hide them, and of other scopes keep their meaning."""
        file = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "made.py")
        file.write_text(made())
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            error = self.assertRaises(SystemExit, runpy.run_path, str(file), run_name="__main__")
        self.assertEqual(7, error.code)
        self.assertEqual(
            "bB4xxhidden/yz 42 3 bottom__Thing(name='n', many=[1], limit=3) the role\n"
            "why ['a', 'b', 'a', 'b']\n",
            output.getvalue(),
        )

    def test_what_is_never_called_does_not_travel(self):
        """Functions and methods that nothing reaches, and what only they import, are left out."""
        self.assertNotIn("unused", made())
        self.assertNotIn("never", made())
        self.assertNotIn("importlib", made())

    def test_functions_keep_their_names_for_tracebacks(self):
        """Where two modules have one name, the module's stands before it."""
        text = made()
        for name in ("def bottom__run(", "def middle__run(", "class bottom__Thing:", "def main("):
            self.assertIn(name, text)

    def test_constants_travel_where_they_are_used(self):
        """One that is read once, or is short, needs no name; one in an f-string keeps it."""
        text = made(
            role="ONCE = 'only once'\nTWICE = 'more than once'\nSAID = 'said'\n"
            "NAME = [ONCE, TWICE, TWICE, f'{SAID}']\n"
        )
        self.assertIn("['only once',", text)
        self.assertEqual(1, text.count("'more than once'"))
        self.assertIn("='said'", text)

    def test_causes_that_python_tells_by_itself(self):
        """An error that is raised while another is handled says so without being told."""
        text = made(
            role="def fail():\n    try:\n        print(1 / 0)\n"
            "    except ZeroDivisionError as error:\n        raise ValueError('no') from error\n"
            "    except OSError as error:\n        raise ValueError(str(error)) from None\n"
            "NAME = fail\n"
        )
        self.assertIn("except ZeroDivisionError:raise ValueError('no')\n", text)
        self.assertIn("from None", text)

    def test_every_name_of_the_real_program_has_a_meaning(self):
        """Nothing is asked for that is not defined, but for what another role would do."""
        for role in manifest.MODULES:
            used = list(names(compile(user_data.program(role), role, "exec")))
            bound = {name for how, name in used if how.startswith("STORE")}
            missing = {name for _, name in used} - bound - set(dir(builtins))
            missing -= {"__name__", "__module__", "__qualname__", "__annotations__"}
            if role == "worker":
                missing = {name for name in missing if not name.startswith(FOREIGN)}
            self.assertEqual(set(), missing, role)

    def test_what_cannot_be_put_into_one_file_is_named(self):
        """Whoever adds such a module learns which line it is."""
        for change, reason in (
            ("def f():\n    global x\n    x = 1\n", "Module role .*, line 2: global"),
            ("import os as o\n", "Module role .*, line 1: an import inside .* another name"),
            ("def f():\n    import os\n", "Module role .*, line 2: an import inside"),
            ("print(1)\n", "Module role .*, line 1: a statement that is no import"),
            ("from . import main\n", "import each other: .*'main'"),
        ):
            sources = {"role": change}
            if "main" in change:
                sources["main"] = MAIN.replace("import bottom", "import role, bottom")
            error = self.assertRaises(exceptions.Inconsistent, made, **sources)
            self.assertRegex(error.operator_message, reason)
