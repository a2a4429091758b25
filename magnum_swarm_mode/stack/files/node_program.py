# SPDX-License-Identifier: Apache-2.0
"""Makes one small Python file of the modules that a node of a role needs.

User-data has little room, so what only people need is left out: docstrings, comments, annotations,
imports from one module to another, names of constants and variables, and whatever the role never
calls. What a person needs who reads a traceback on a node stays: functions, classes and methods
keep their names, with the module's name before it where two modules have the same (``run`` of
``system`` is ``system__run``).

What the modules of the node program must do for this is little, and checked here: they import each
other as ``from . import name`` or ``from .name import Thing``, without ``as``; they do not use
``global``; at their top they only import, define and assign. ``_module("name")`` stands for a
module that only one role has, and with anything else than a literal for the module of the role.
"""

import ast
import builtins
import copy
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

import python_minifier

from magnum_swarm_mode import exceptions

# Where the program begins, and what asks for a module that not every role has.
_START = "main"
_LAZY = "_module"
# Constants of so many characters take no more room where they are used than a name.
_SHORT = 4
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def make(sources: Mapping[str, str], role: str) -> str:
    """Return one program that does what the modules do.

    :param sources: modules by name, such as ``system``; ``main`` holds the function ``main``.
    :param role: which module ``_module(…)`` means where its argument is no literal.
    :raises Inconsistent: when a module does what cannot be put into one file.
    """
    modules = {name: _parse(name, source) for name, source in sources.items()}
    names = _names(modules)
    body: list[ast.stmt] = []
    for name in _ordered(modules):
        body += _Flattener(name, modules[name], names, role).result()
    tree = ast.Module(body=body, type_ignores=[])
    _shake(tree)
    _put_constants_in_place(tree)
    imports, rest = _imports_apart(tree)
    _shorten_attributes(tree)
    _open_parameters(tree)
    tree.body = [*imports, *rest, *ast.parse(f"sys.exit({names['main', _START]}())").body]
    text = python_minifier.minify(
        ast.unparse(ast.fix_missing_locations(tree)),
        remove_literal_statements=True,
        rename_globals=True,
        preserve_globals=[*dir(builtins), *_telling(imports), *_telling(rest)],
        # Classes of data are made from theirs; all others are gone already.
        remove_annotations=False,
        # Repeated text costs nothing where everything is compressed as a whole.
        hoist_literals=False,
    )
    return _closed_parameters(text)


def _parse(name: str, source: str) -> ast.Module:
    tree: ast.Module = _Stripper().visit(ast.parse(source, name))
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign, *_DEFINITIONS)):
            raise _refused(name, node, "a statement that is no import, definition or assignment")
    for inner in ast.walk(tree):
        if isinstance(inner, (ast.Global, ast.Nonlocal)):
            raise _refused(name, inner, "global or nonlocal")
        if isinstance(inner, (ast.Import, ast.ImportFrom)) and (
            inner not in tree.body or any(alias.asname for alias in inner.names)
        ):
            raise _refused(name, inner, "an import inside something, or with another name")
    return tree


def _refused(name: str, node: Any, what: str) -> exceptions.Inconsistent:
    return exceptions.Inconsistent(
        "The node program cannot be packed on the server; ask the operator.",
        f"Module {name} of the node program, line {node.lineno}: {what}.",
    )


class _Stripper(ast.NodeTransformer):
    """Removes annotations, but for those of classes of data, and causes that go without saying."""

    def __init__(self) -> None:
        self._kept = False

    def _function(self, node: Any) -> Any:
        outer, self._kept = self._kept, False
        self.generic_visit(node)
        self._kept = outer
        node.returns = None
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815 (ast's names)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        outer, self._kept = self._kept, bool(node.decorator_list)
        self.generic_visit(node)
        self._kept = outer
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        """Leave it to Python to tell what an error was raised in the handling of."""
        self.generic_visit(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Raise) and _is_name(inner.cause, node.name):
                inner.cause = None
        if not any(_is_name(inner, node.name) for inner in ast.walk(node)):
            node.name = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if self._kept:
            return node
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def _is_name(node: ast.AST | None, name: str | None) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _names(modules: Mapping[str, ast.Module]) -> dict[tuple[str, str], str]:
    """Return what everything at the top of a module is called in the one program.

    A name that anything else bears anywhere gets its module's name before it, so that no local
    variable can hide what is a module's own.
    """
    owners: dict[str, list[str]] = {}
    for module, tree in modules.items():
        for name in _bound(tree.body):
            owners.setdefault(name, []).append(module)
    taken = set(dir(builtins))
    for tree in modules.values():
        taken.update(alias.name.partition(".")[0] for alias in _library(tree))
        for node in ast.walk(tree):
            if isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
                taken.update(_scope(node))
    return {
        (module, name): _qualified(module, name) if len(bearers) > 1 or name in taken else name
        for name, bearers in sorted(owners.items())
        for module in bearers
    }


def _qualified(module: str, name: str) -> str:
    # Two underlines, which no other name has, so that proxy.unit is not engine.proxy_unit.
    return f"{module}__{name.lstrip('_')}"


def _library(tree: ast.Module) -> Iterator[ast.alias]:
    for node in tree.body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            yield from node.names


def _bound(body: list[ast.stmt]) -> set[str]:
    """Return what definitions and assignments at the top of a module bind."""
    found = {node.name for node in body if isinstance(node, _DEFINITIONS)}
    for node in body:
        if isinstance(node, ast.Assign):
            found.update(n.id for n in _stores(node))
    return found


def _stores(node: ast.AST) -> Iterator[ast.Name]:
    """Yield what a statement binds, but nothing of the scopes inside it."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        yield node
    if not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _stores(child)


def _scope(node: Any) -> set[str]:
    """Return the names that a function or comprehension binds for itself."""
    if isinstance(node, _COMPREHENSIONS):
        return {name.id for generator in node.generators for name in _stores(generator.target)}
    arguments = node.args
    found = {
        argument.arg
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        )
        if argument
    }
    if isinstance(node, ast.Lambda):
        return found
    for statement in node.body:
        found.update(name.id for name in _stores(statement))
        found.update(_declared(statement))
    return found


def _declared(node: ast.AST) -> Iterator[str]:
    """Yield functions, classes and caught exceptions that a statement of a function names."""
    if isinstance(node, _DEFINITIONS):
        yield node.name
        return
    if isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name
    if not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _declared(child)


def _needed(tree: ast.Module, modules: Mapping[str, ast.Module]) -> set[str]:
    """Return the other modules that a module imports."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            found.update([node.module] if node.module else [alias.name for alias in node.names])
    return {name for name in found if name in modules}


def _ordered(modules: Mapping[str, ast.Module]) -> list[str]:
    """Return the modules so that each follows those that it imports."""
    done: list[str] = []
    while len(done) < len(modules):
        ready = [
            name
            for name in sorted(modules)
            if name not in done and _needed(modules[name], modules) <= set(done)
        ]
        if not ready:
            raise exceptions.Inconsistent(
                "The node program cannot be packed on the server; ask the operator.",
                f"Modules that import each other: {sorted(set(modules) - set(done))}.",
            )
        done += ready
    return done


class _Flattener(ast.NodeTransformer):
    """Lets one module refer to the others by the names that they have in the one program."""

    def __init__(
        self, module: str, tree: ast.Module, names: Mapping[tuple[str, str], str], role: str
    ) -> None:
        self._tree = tree
        self._names = names
        self._role = role
        self._modules: set[str] = set()
        self._own = {name: new for (owner, name), new in names.items() if owner == module}
        # Names that hide a module's own, and whether they are those of a class.
        self._scopes: list[tuple[set[str], bool]] = []

    def result(self) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for node in self._tree.body:
            if not isinstance(node, ast.ImportFrom) or not node.level:
                found.append(self.visit(node))
            elif node.module:
                for alias in node.names:
                    self._own[alias.name] = self._names[node.module, alias.name]
            else:
                self._modules.update(alias.name for alias in node.names)
        return found

    def _hidden(self, name: str) -> bool:
        return any(name in scope for scope, _ in self._scopes)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if not self._hidden(node.id):
            node.id = self._own.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        module = self._module(node.value)
        if module is None:
            self.generic_visit(node)
            return node
        # What another role's module would do is never called in this one.
        name = self._names.get((module, node.attr)) or _qualified(module, node.attr)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def _module(self, node: ast.expr) -> str | None:
        """Return which module an expression stands for, if it does."""
        if isinstance(node, ast.Name) and node.id in self._modules and not self._hidden(node.id):
            return node.id
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == _LAZY:
            (argument,) = node.args
            return str(argument.value) if isinstance(argument, ast.Constant) else self._role
        return None

    def _function(self, node: Any) -> Any:
        arguments = node.args
        for outside in (arguments.defaults, arguments.kw_defaults):
            outside[:] = [value and self.visit(value) for value in outside]
        if not isinstance(node, ast.Lambda):
            node.decorator_list = [self.visit(one) for one in node.decorator_list]
            if not self._scopes:
                node.name = self._own[node.name]
        outer = self._scopes
        self._scopes = [item for item in outer if not item[1]] + [(_scope(node), False)]
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            node.body = [self.visit(statement) for statement in node.body]
        self._scopes = outer
        return node

    visit_FunctionDef = visit_Lambda = _function  # noqa: N815 (ast's names)

    def _comprehension(self, node: Any) -> Any:
        outer = self._scopes
        node.generators[0].iter = self.visit(node.generators[0].iter)
        self._scopes = [item for item in outer if not item[1]] + [(_scope(node), False)]
        first = True
        for generator in node.generators:
            if not first:
                generator.iter = self.visit(generator.iter)
            first = False
            generator.ifs = [self.visit(one) for one in generator.ifs]
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                setattr(node, part, self.visit(getattr(node, part)))
        self._scopes = outer
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.bases = [self.visit(base) for base in node.bases]
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        if not self._scopes:
            node.name = self._own[node.name]
        own = {name.id for statement in node.body for name in _stores(statement)}
        self._scopes.append((own, True))
        node.body = [self.visit(statement) for statement in node.body]
        self._scopes.pop()
        return node


def _shake(tree: ast.Module) -> None:
    """Remove what is never reached from the start."""
    before = -1
    while before != (before := sum(1 for _ in ast.walk(tree))):
        _remove_methods(tree)
        _remove_statements(tree)


def _remove_statements(tree: ast.Module) -> None:
    binding: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in _bound([node]):
            binding.setdefault(name, []).append(node)
    reached: set[str] = set()
    waiting = [_START]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            for node in binding.get(name, ()):
                waiting += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            node.names = [one for one in node.names if one.name.partition(".")[0] in reached]
    tree.body = [node for node in tree.body if getattr(node, "names", _bound([node]) & reached)]


def _put_constants_in_place(tree: ast.Module) -> None:
    """Write constants where they are used, if that is once, or they are as short as a name."""
    uses = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    # An older Python takes no texts between the braces of an f-string.
    kept = {
        inner.id
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name)
    }
    found: dict[str, ast.expr] = {}
    rest: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_constant(node.value):
            name = "".join(_bound([node]))
            # Written once, and read once.
            if name not in kept and len(ast.unparse(node.value)) <= _SHORT:
                found[name] = node.value
                continue
            if name not in kept and uses.count(name) == 1 + 1:
                found[name] = node.value
                continue
        rest.append(node)
    tree.body = rest
    _Replacer(found).visit(tree)


def _is_constant(node: ast.expr) -> bool:
    """Tell whether an expression is numbers and texts that nothing can change."""
    allowed = (ast.Constant, ast.Tuple, ast.Load, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
    return all(isinstance(inner, allowed) for inner in ast.walk(node))


class _Replacer(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and node.id in self._values:
            return copy.deepcopy(self._values[node.id])
        return node


def _remove_methods(tree: ast.Module) -> None:
    """Remove methods of the program's own classes whose name appears nowhere."""
    mentioned = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        # Whatever a library's class calls by itself is its own affair.
        if isinstance(node, ast.ClassDef) and all(
            isinstance(base, ast.Name) and base.id in own for base in node.bases
        ):
            node.body = [
                item
                for item in node.body
                if not isinstance(item, ast.FunctionDef)
                or item.name in mentioned
                or item.name.startswith("__")
            ] or [ast.Pass()]


def _imports_apart(tree: ast.Module) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """Return each of the imports once, and everything else in its order."""
    plain = {"sys"}
    parts: dict[str, set[str]] = {}
    rest: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            plain.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts.setdefault(str(node.module), set()).update(one.name for one in node.names)
        else:
            rest.append(node)
    imports: list[ast.stmt] = [ast.Import([ast.alias(name) for name in sorted(plain)])]
    imports += [
        ast.ImportFrom(module, [ast.alias(name) for name in sorted(names)], 0)
        for module, names in sorted(parts.items())
    ]
    return imports, rest


def _telling(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that a reader of a traceback needs."""
    for node in body:
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def _shorten_attributes(tree: ast.Module) -> None:
    """Give attributes that only their own class uses names of one letter."""
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    known = {node.attr for node in attributes}
    private = sorted(
        {
            node.attr
            for node in attributes
            if isinstance(node.ctx, ast.Store) and re.match("_[^_]", node.attr)
        }
        - methods
    )
    free = (letter for letter in string.ascii_letters if letter not in known)
    short = dict(zip(private, free, strict=False))
    for node in attributes:
        node.attr = short.get(node.attr, node.attr)


def _open_parameters(tree: ast.Module) -> None:
    """Mark parameters that nobody passes by name as positional, so that they can be renamed."""
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    named = {
        keyword.arg
        for node in ast.walk(tree)
        # The functions of a library have parameters of their own.
        if isinstance(node, ast.Call)
        and not (isinstance(node.func, ast.Attribute) and node.func.attr not in methods)
        for keyword in node.keywords
    }
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and not node.args.posonlyargs:
            arguments = node.args
            while arguments.args and arguments.args[0].arg not in named:
                arguments.posonlyargs.append(arguments.args.pop(0))


def _closed_parameters(text: str) -> str:
    """Undo the marks, which take up room and serve no more."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            node.args.args[:0] = node.args.posonlyargs
            node.args.posonlyargs = []
    return python_minifier.unparse(tree)
