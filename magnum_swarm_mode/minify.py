# SPDX-License-Identifier: Apache-2.0
"""Python source made small without a change of what it does, however it is called.

Comments, docstrings, blank lines, indentation and the annotations of functions go; names stay, so
that tracebacks and logs on a node can be read. Text is cut out of the source rather than printed
from a syntax tree, so that the result needs no newer Python than the source.
"""

import ast
import io
import tokenize
from collections.abc import Iterator

_NO_CODE = frozenset(
    {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
)


def minify(source: str) -> str:
    """Return smaller source that does the same.

    :raises SyntaxError: when it is not Python.
    """
    return _dedent(_cut(source))


def _cut(source: str) -> str:
    """Return source without docstrings and annotations of functions."""
    data = source.encode()
    # A syntax tree counts columns in bytes of UTF-8.
    starts = [0, 0]
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def offset(line: int | None, column: int | None) -> int:
        return starts[line or 0] + (column or 0)

    def end(node: ast.expr | ast.stmt) -> int:
        return offset(node.end_lineno, node.end_col_offset)

    edits: list[tuple[int, int, bytes]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and _is_text(first.value):
                alone = len(node.body) == 1 and not isinstance(node, ast.Module)
                edits.append(
                    (offset(first.lineno, first.col_offset), end(first), b"pass" if alone else b"")
                )
        if isinstance(node, ast.arg) and node.annotation:
            name_end = offset(node.lineno, node.col_offset) + len(node.arg.encode())
            edits.append((name_end, end(node.annotation), b""))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            arrow = data.rindex(b"->", 0, offset(node.returns.lineno, node.returns.col_offset))
            # An annotation in parentheses ends after its node; such a one stays.
            if data[end(node.returns) :].lstrip().startswith(b":"):
                edits.append((arrow, end(node.returns), b""))
    for begin, finish, text in sorted(edits, reverse=True):
        data = data[:begin] + text + data[finish:]
    return data.decode()


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _dedent(source: str) -> str:
    """Return source without comments and empty lines, indented by one space."""
    comments: dict[int, int] = {}
    depth_of: dict[int, int] = {}
    inside_text: set[int] = set()
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        first, last = token.start[0], token.end[0]
        depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type == tokenize.COMMENT:
            comments[first] = token.start[1]
        elif token.type not in _NO_CODE:
            depth_of.setdefault(first, depth)
            inside_text.update(range(first + 1, last + 1))
    return "".join(_lines(source, comments, depth_of, inside_text))


def _lines(
    source: str, comments: dict[int, int], depth_of: dict[int, int], inside_text: set[int]
) -> Iterator[str]:
    # Not splitlines(): a tokenizer knows no line ends but this one.
    for number, line in enumerate(io.StringIO(source), start=1):
        text = line
        if number in comments:
            text = line[: comments[number]].rstrip() + "\n"
        if number in inside_text:
            yield text
        elif text.strip():
            yield " " * depth_of.get(number, 0) + text.strip() + "\n"
