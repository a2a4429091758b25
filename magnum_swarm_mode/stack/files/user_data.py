# SPDX-License-Identifier: Apache-2.0
"""What cloud-init runs on a node: its role's cloud-config with the node program packed into it.

Nova refuses user-data above 65535 bytes of base64 (``MAX_USERDATA_SIZE`` in nova/objects), and the
node program has to fit in beside certificates and addresses. So only what a role needs travels,
made into one small file (``program``), compressed, and written with all printable characters, which
is denser than the base 64 that cloud-init can decode by itself. The same sources always give the
same text.
"""

import bz2
import functools
import math
import pathlib
import threading

import jinja2

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.node import manifest
from magnum_swarm_mode.stack.files import node_program as one_file
from magnum_swarm_mode.stack.files import templates

# Nova's limit, in bytes after base64.
NOVA_LIMIT = 65535
# Heat replaces this word with the node's configuration.
CONFIGURATION = "@CONFIGURATION@"

_TEMPLATE = "user_data/node.yaml.j2"
_NODE = pathlib.Path(__file__).resolve().parents[2] / "node"
# Python counts the depth of a syntax tree for all threads together: two that parse at once fail
# with "AST constructor recursion depth mismatch" (python/cpython#106905).
_PACKING = threading.Lock()


def share(text: str) -> float:
    """Return how much of Nova's limit a user-data takes up, from 0 to 1 (or more)."""
    return 4 * math.ceil(len(text.encode()) / 3) / NOVA_LIMIT


@functools.cache
def program(role: str) -> str:
    """Return the source of a role's program, small and in one file.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when a module that the manifest names is missing or cannot be packed.
    """
    sources = {}
    for name in manifest.MODULES[role]:
        try:
            sources[pathlib.Path(name).stem] = (_NODE / name).read_text(encoding="utf-8")
        except OSError as error:
            raise exceptions.Inconsistent(
                "The node program is incomplete on the server; ask the operator.",
                f"Module of the node program: {error}.",
            ) from error
    return one_file.make(sources, role)


@functools.cache
def pack(role: str) -> str:
    """Return a role's program as one line of printable ASCII.

    It is bzip2 of the source, taken for one large number that is written with the 94 digits "!" to
    "~": with as many as there are, it is shorter than in base 64 or 85.
    """
    number = int.from_bytes(bz2.compress(program(role).encode()), "big")
    digits = []
    while number:
        number, digit = divmod(number, 94)
        digits.append(chr(33 + digit))
    return "".join(reversed(digits))


def render(role: str) -> str:
    """Return a role's cloud-config, in which Heat has only to put the configuration.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when template or program are not complete.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(templates.read),
        undefined=jinja2.StrictUndefined,
        # Cloud-config is no HTML, and nothing in it comes from a user.
        autoescape=False,
        keep_trailing_newline=True,
    )
    with _PACKING:
        packed = pack(role)
    try:
        text = environment.get_template(_TEMPLATE).render(role=role, program=packed)
    except jinja2.TemplateError as error:
        raise exceptions.Inconsistent(
            "The template of the nodes' user-data is not valid; ask the operator.",
            f"{_TEMPLATE}: {error}.",
        ) from error
    if text.count(CONFIGURATION) != 1:
        raise exceptions.Inconsistent(
            "The template of the nodes' user-data is not valid; ask the operator.",
            f"{_TEMPLATE} must hold {CONFIGURATION} exactly once.",
        )
    return text
