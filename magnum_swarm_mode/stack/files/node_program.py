# SPDX-License-Identifier: Apache-2.0
"""The node program as user-data carries it: the modules of a role in one line of text.

Each module is minified by itself: comments, docstrings and annotations are removed. Modules,
functions and variables keep their names, so that a traceback on a node can be read. The modules
become a tar archive, compressed with bzip2 and written in base 85, which a node unpacks with
Python's standard library (``templates/heat/user_data/node.yaml.j2``). Nothing in the archive
depends on the time or on the server, so that the same sources give the same text.
"""

import base64
import bz2
import functools
import io
import pathlib
import tarfile
import threading

import python_minifier

from magnum_swarm_mode import exceptions, node
from magnum_swarm_mode.node import manifest

# What ``python3 <directory>`` runs in the directory that the archive is unpacked to.
_START = "import sys\nfrom node.main import main\nsys.exit(main())\n"
_NODE = pathlib.Path(node.__file__).resolve().parent
# Python 3.11 counts the depth of a syntax tree for all threads together: two threads that parse at
# the same time fail with "AST constructor recursion depth mismatch" (python/cpython#106905).
_PACKING = threading.Lock()


def pack(role: str) -> str:
    """Return a role's program as one line of printable ASCII, of base 85.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when a module that the manifest names is missing or is no Python.
    """
    with _PACKING:
        return _pack(role)


@functools.cache
def _pack(role: str) -> str:
    files = {"__main__.py": _START}
    files |= {f"node/{name}": _minified(_NODE / name) for name in manifest.MODULES[role]}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in files.items():
            # It belongs to root, and its time is 0.
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return base64.b85encode(bz2.compress(archive.getvalue())).decode("ascii")


def _minified(path: pathlib.Path) -> str:
    try:
        return python_minifier.minify(
            path.read_text(encoding="utf-8"),
            path.name,
            remove_literal_statements=True,
            rename_locals=False,
            # Text that is repeated costs little where everything is compressed as a whole.
            hoist_literals=False,
        )
    except (OSError, SyntaxError, ValueError) as error:
        raise exceptions.Inconsistent(
            "The node program is incomplete on the server; ask the operator.",
            f"Module {path} of the node program: {error}.",
        ) from error
