# SPDX-License-Identifier: Apache-2.0
"""What cloud-init runs on a node: its role's cloud-config with the node program packed into it.

Nova refuses user-data above 65535 bytes of base64 (``MAX_USERDATA_SIZE`` in nova/objects), and the
node program has to fit in beside certificates and addresses. So only the modules that a role needs
travel, without comments and docstrings, in one compressed archive. The same sources always give
the same bytes.
"""

import ast
import base64
import functools
import gzip
import io
import pathlib
import tokenize
import zipfile
from collections.abc import Iterator

import jinja2

from magnum_swarm_mode import exceptions, resources
from magnum_swarm_mode.node import manifest

# Nova's limit, in bytes after base64.
NOVA_LIMIT = 65535
# Heat replaces this word with the node's configuration.
CONFIGURATION = "@CONFIGURATION@"

_PACKAGE = pathlib.Path(__file__).resolve().parent
_MAIN = "import sys\nfrom magnum_swarm_mode.node.main import main\nsys.exit(main())\n"
# The earliest time that a zip archive can state; any fixed one would do.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NO_CODE = frozenset(
    {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
)


def strip(source: str) -> str:
    """Return Python source without comments, docstrings and blank lines, indented by one space.

    The syntax tree stays the same but for docstrings.

    :raises SyntaxError: when it is not Python.
    """
    # Not splitlines(): a tokenizer knows no line ends but this one.
    lines = list(io.StringIO(source))
    omitted = dict(_docstrings(ast.parse(source)))
    # Starts and ends of comments in lines that hold one: columns of characters.
    comments: dict[int, int] = {}
    # Lines that begin a logical or continued line outside of strings, and their depth.
    depth_of: dict[int, int] = {}
    inside_string: set[int] = set()
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.start[1]
        if token.type not in _NO_CODE:
            depth_of.setdefault(token.start[0], depth)
        if token.start[0] != token.end[0]:
            inside_string.update(range(token.start[0] + 1, token.end[0] + 1))
    return "".join(_emit(lines, omitted, comments, depth_of, inside_string))


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, tuple[int, bool]]]:
    """Yield first line, last line and whether something must stand for it, for every docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            alone = len(node.body) == 1 and not isinstance(node, ast.Module)
            yield first.lineno, (first.end_lineno or first.lineno, alone)


def _emit(
    lines: list[str],
    omitted: dict[int, tuple[int, bool]],
    comments: dict[int, int],
    depth_of: dict[int, int],
    inside_string: set[int],
) -> Iterator[str]:
    number = 0
    while number < len(lines):
        number += 1
        line = lines[number - 1]
        if number in omitted:
            last, alone = omitted[number]
            if alone:
                yield " " * depth_of.get(number, 0) + "pass\n"
            number = last
            continue
        if number in comments:
            line = line[: comments[number]]
            line = (line if number in inside_string else line.rstrip()) + "\n"
        if number in inside_string:
            yield line
        elif line.strip():
            yield " " * depth_of.get(number, 0) + line.lstrip()


def pack(role: str) -> bytes:
    """Return the node program of a role as an executable archive, not compressed.

    It is compressed as a whole afterwards, which is smaller than file by file.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when a module that the manifest names is missing.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        _add(target, "__main__.py", _MAIN)
        _add(target, "magnum_swarm_mode/__init__.py", "")
        for module in sorted(manifest.MODULES[role]):
            path = _PACKAGE / "node" / module
            try:
                source = path.read_text(encoding="utf-8")
            except OSError as error:
                raise exceptions.Inconsistent(
                    "The node program is incomplete on the server; ask the operator.",
                    f"Module of the node program: {error}.",
                ) from error
            _add(target, f"magnum_swarm_mode/node/{module}", strip(source))
    return archive.getvalue()


def _add(target: zipfile.ZipFile, name: str, text: str) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    # Otherwise it tells which system made the archive.
    entry.create_system = 3
    target.writestr(entry, text)


@functools.cache
def _program(role: str) -> str:
    return base64.b64encode(gzip.compress(pack(role), compresslevel=9, mtime=0)).decode("ascii")


def render(role: str) -> str:
    """Return a role's cloud-config, in which Heat has only to put the configuration.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when template or program are not complete.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: resources.read(f"user_data/{name}")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - cloud-config is no HTML, and nothing here is a user's
        keep_trailing_newline=True,
    )
    try:
        text = environment.get_template("node.yaml.j2").render(role=role, program=_program(role))
    except jinja2.TemplateError as error:
        raise exceptions.Inconsistent(
            "The template of the nodes' user-data is not valid; ask the operator.",
            f"user_data/node.yaml.j2: {error}.",
        ) from error
    if text.count(CONFIGURATION) != 1:
        raise exceptions.Inconsistent(
            "The template of the nodes' user-data is not valid; ask the operator.",
            f"user_data/node.yaml.j2 must hold {CONFIGURATION} exactly once.",
        )
    return text
