# SPDX-License-Identifier: Apache-2.0
"""What cloud-init runs on a node: its role's cloud-config with the node program packed into it.

Nova refuses user-data above 65535 bytes of base64 (``MAX_USERDATA_SIZE`` in nova/objects), and the
node program has to fit in beside certificates and addresses. So only the modules that a role needs
travel, minified, compressed as a whole, and in base 85, which is denser than the base 64 that
cloud-init can decode by itself. The same sources always give the same text.
"""

import base64
import bz2
import functools
import math
import pathlib

import jinja2
import python_minifier

from magnum_swarm_mode import exceptions, resources
from magnum_swarm_mode.node import manifest

# Nova's limit, in bytes after base64.
NOVA_LIMIT = 65535
# Heat replaces this word with the node's configuration.
CONFIGURATION = "@CONFIGURATION@"

_TEMPLATE = "user_data/node.yaml.j2"
_NODE = pathlib.Path(__file__).resolve().parent / "node"
_MAIN = "import sys\nfrom magnum_swarm_mode.node.main import main\nsys.exit(main())\n"


def share(text: str) -> float:
    """Return how much of Nova's limit a user-data takes up, from 0 to 1 (or more)."""
    return 4 * math.ceil(len(text.encode()) / 3) / NOVA_LIMIT


def modules(role: str) -> dict[str, str]:
    """Return the files of a role's program: paths in the archive to minified sources.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when a module that the manifest names is missing.
    """
    files = {"__main__.py": _MAIN, "magnum_swarm_mode/__init__.py": ""}
    for name in sorted(manifest.MODULES[role]):
        try:
            source = (_NODE / name).read_text(encoding="utf-8")
        except OSError as error:
            raise exceptions.Inconsistent(
                "The node program is incomplete on the server; ask the operator.",
                f"Module of the node program: {error}.",
            ) from error
        files[f"magnum_swarm_mode/node/{name}"] = _minify(source)
    return files


def _minify(source: str) -> str:
    return python_minifier.minify(
        source,
        remove_literal_statements=True,
        # Classes of data are made from theirs.
        remove_annotations=python_minifier.RemoveAnnotationsOptions(
            remove_variable_annotations=True,
            remove_return_annotations=True,
            remove_argument_annotations=True,
            remove_class_attribute_annotations=False,
        ),
        # Repeated text costs nothing where everything is compressed as a whole.
        hoist_literals=False,
    )


@functools.cache
def pack(role: str) -> str:
    """Return a role's program as one line of printable ASCII.

    It is base 85 of bzip2 of the files, each as NUL, path, newline, source.
    """
    text = "".join(f"\0{path}\n{source}" for path, source in modules(role).items())
    return base64.b85encode(bz2.compress(text.encode())).decode("ascii")


def render(role: str) -> str:
    """Return a role's cloud-config, in which Heat has only to put the configuration.

    :param role: a key of ``node.manifest.MODULES``.
    :raises Inconsistent: when template or program are not complete.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(resources.read),
        undefined=jinja2.StrictUndefined,
        # Cloud-config is no HTML, and nothing in it comes from a user.
        autoescape=False,
        keep_trailing_newline=True,
    )
    try:
        text = environment.get_template(_TEMPLATE).render(role=role, program=pack(role))
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
