# SPDX-License-Identifier: Apache-2.0
"""What cloud-init runs on a node: its role's cloud-config with the node program packed into it.

Nova refuses user-data above 65535 bytes of base64 (``MAX_USERDATA_SIZE`` in nova/objects), and the
node program has to fit in beside certificates and addresses (``node_program``).
"""

import math

import jinja2

from magnum_swarm_mode import exceptions
from magnum_swarm_mode.stack.files import node_program, templates

# Nova's limit, in bytes after base64.
NOVA_LIMIT = 65535
# Heat replaces this word with the node's configuration.
CONFIGURATION = "@CONFIGURATION@"

_TEMPLATE = "user_data/node.yaml.j2"


def share(text: str) -> float:
    """Return how much of Nova's limit a user-data takes up, from 0 to 1 (or more)."""
    return 4 * math.ceil(len(text.encode()) / 3) / NOVA_LIMIT


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
    packed = node_program.pack(role)
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
