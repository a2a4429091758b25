# SPDX-License-Identifier: Apache-2.0
"""The part of Heat's language that a preview carries out; Heat itself is asked in functional."""

from typing import Any

import yaml
from oslotest import base

from magnum_swarm_mode.preview import hot


def value(expression: Any, **more: Any) -> Any:
    """Return an expression's value in a template of two parameters."""
    template = {
        "parameters": {"a": {"default": "A"}, "list": {}},
        "conditions": {"is_a": {"equals": [{"get_param": "a"}, "A"]}},
        "resources": {
            "value": {
                "type": "OS::Heat::Value",
                "properties": {"value": {"x": [{"get_param": "a"}]}},
            },
            "server": {"type": "OS::Nova::Server"},
            **more,
        },
    }
    return hot.Template(yaml.safe_dump(template), {"list": ["l", "m"]}, {"f": "text"}, {}).value(
        expression
    )


class FunctionTest(base.BaseTestCase):
    def test_functions(self) -> None:
        """Each function gives what Heat gives."""
        for expected, expression in (
            ("A", {"get_param": "a"}),
            ("m", {"get_param": ["list", 1]}),
            ("text", {"get_file": "f"}),
            ("A", {"get_attr": ["value", "value", "x", 0]}),
            ("A-l-m", {"list_join": ["-", [{"get_param": "a"}], {"get_param": "list"}]}),
            ([1, "l", "m"], {"list_concat": [[1], {"get_param": "list"}]}),
            ({"x": 2, "y": 1}, {"map_merge": [{"x": 1, "y": 1}, {"x": 2}]}),
            ("= A", {"str_replace": {"template": "= $a", "params": {"$a": {"get_param": "a"}}}}),
            ('["l", "m"]', {"str_replace_strict": {"template": "?",
                                                   "params": {"?": {"get_param": "list"}}}}),
            (1, {"if": ["is_a", 1, 2]}),
            (2, {"if": [False, 1, 2]}),
            (None, {"if": [False, 1]}),
        ):  # fmt: skip
            self.assertEqual(expected, value(expression), str(expression))

    def test_the_unknown(self) -> None:
        """What only Heat or a cloud knows is named; a function that is unknown stays."""
        self.assertEqual("(server: networks, n)", value({"get_attr": ["server", "networks", "n"]}))
        self.assertEqual("(server: id)", value({"get_resource": "server"}))
        digest = {"digest": ["md5", "x"]}
        self.assertEqual(digest, value(digest))

    def test_data_is_not_code(self) -> None:
        """A value that looks like a function is not carried out."""
        template = "parameters: {p: {}}"
        hostile = {"get_file": "/etc/passwd"}
        parsed = hot.Template(template, {"p": hostile}, {}, {})
        self.assertEqual(hostile, parsed.value({"get_param": "p"}))
