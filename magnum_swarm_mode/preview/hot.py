# SPDX-License-Identifier: Apache-2.0
"""As much of Heat's template language as it takes to show what a node is told.

What only a cloud can know, such as an address, becomes a text in parentheses that names resource
and attribute. A function that is not known here stays as it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from magnum_swarm_mode import constants

_GROUP = "OS::Heat::ResourceGroup"
_VALUE = "OS::Heat::Value"
_HANDLE = "OS::Heat::WaitConditionHandle"
# What Heat gives the nodes to report with; each is a secret or known to Heat only.
_SIGNAL = ("auth_url", "user_id", "username", "password", "project_id", "domain_id", "region_name",
           "alarm_url")  # fmt: skip


class Template:
    """A template with the values of its parameters.

    :param text: HOT.
    :param parameters: values by name; a parameter that has none takes its default.
    :param files: texts by name, for nested templates and ``get_file``.
    :param environment: ``resource_registry`` and ``parameter_defaults``.
    :param where: names the template in what stands for the unknown, as ``manager_ports 0 ``.
    """

    def __init__(
        self,
        text: str,
        parameters: Mapping[str, Any],
        files: Mapping[str, str],
        environment: Mapping[str, Any],
        where: str = "",
    ) -> None:
        data = yaml.safe_load(text)
        self._resources: Mapping[str, Any] = data.get("resources") or {}
        self._outputs: Mapping[str, Any] = data.get("outputs") or {}
        self._conditions: Mapping[str, Any] = data.get("conditions") or {}
        self._files = files
        self._environment = environment
        self._where = where
        declared = data.get("parameters") or {}
        defaults = {name: schema["default"] for name, schema in declared.items()
                    if "default" in schema}  # fmt: skip
        standing = environment.get("parameter_defaults") or {}
        self._parameters = {
            **defaults,
            **{name: value for name, value in standing.items() if name in declared},
            **{name: value for name, value in parameters.items() if value is not None},
        }
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "get_param": self._get_param,
            "get_attr": self._get_attr,
            "get_resource": lambda name: self._unknown(name, ["id"]),
            "get_file": lambda name: self._files[name],
            "list_join": self._list_join,
            "list_concat": lambda parts: [item for part in parts for item in self.value(part)],
            "map_merge": self._map_merge,
            "str_replace": self._replace,
            "str_replace_strict": self._replace,
            "equals": lambda pair: self.value(pair[0]) == self.value(pair[1]),
            "not": lambda what: not self.value(what),
            "if": self._if,
        }

    def nested(self, resource: str) -> Template | None:
        """Return the template that a resource is made of, or None where it is of no template."""
        declared = self._resources[resource]
        return self._made(resource, declared["type"], declared.get("properties") or {})

    def config(self, resource: str) -> str:
        """Return the text of a software configuration."""
        return str(self.value(self._resources[resource]["properties"]["config"]))

    def output(self, name: str) -> Any:
        """Return the value of an output."""
        return self.value(self._outputs[name]["value"])

    def value(self, expression: Any) -> Any:
        """Return an expression with every function in it carried out that can be."""
        if isinstance(expression, list):
            return [self.value(item) for item in expression]
        if not isinstance(expression, dict):
            return expression
        if len(expression) == 1:
            [(name, argument)] = expression.items()
            if name in self._functions:
                return self._functions[name](argument)
        return {key: self.value(item) for key, item in expression.items()}

    def _made(self, where: str, type_: str, properties: Mapping[str, Any]) -> Template | None:
        name = (self._environment.get("resource_registry") or {}).get(type_, type_)
        if name not in self._files:
            return None
        given = {key: self.value(item) for key, item in properties.items()}
        inside = f"{self._where}{where} "
        return Template(self._files[name], given, self._files, self._environment, inside)

    def _get_param(self, argument: Any) -> Any:
        path = argument if isinstance(argument, list) else [argument]
        return _walk(self._parameters[path[0]], [self.value(step) for step in path[1:]])

    def _get_attr(self, argument: Sequence[Any]) -> Any:
        resource, *path = [self.value(step) for step in argument]
        declared = self._resources[resource]
        properties = declared.get("properties") or {}
        if declared["type"] == _VALUE and path[:1] == ["value"]:
            return _walk(self.value(properties["value"]), path[1:])
        if declared["type"] == _HANDLE and path == ["signal"]:
            return json.dumps({name: self._unknown(resource, [name]) for name in _SIGNAL})
        if declared["type"] == _GROUP and path[:1] == ["attributes"]:
            return self._of_members(resource, properties, path[1:])
        nested = self._made(resource, declared["type"], properties)
        if nested is not None and path and path[0] in nested._outputs:
            return _walk(nested.output(path[0]), path[1:])
        return self._unknown(resource, path)

    def _of_members(self, group: str, properties: Mapping[str, Any], path: list[Any]) -> Any:
        """Return an attribute of each member of a group, by index."""
        found = {}
        for index in range(int(self.value(properties["count"]))):
            member = json.loads(
                json.dumps(properties["resource_def"]).replace(constants.INDEX, str(index))
            )
            name = f"{group} {index}"
            nested = self._made(name, member["type"], member.get("properties") or {})
            if nested is not None and path[0] in nested._outputs:
                found[str(index)] = nested.output(path[0])
            else:
                found[str(index)] = self._unknown(name, path)
        return found

    def _list_join(self, argument: Sequence[Any]) -> str:
        between, *lists = argument
        return str(between).join(str(item) for part in lists for item in self.value(part))

    def _map_merge(self, maps: Sequence[Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for one in maps:
            merged.update(self.value(one))
        return merged

    def _replace(self, argument: Mapping[str, Any]) -> str:
        text = str(self.value(argument["template"]))
        for word, value in self.value(argument["params"]).items():
            plain = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            text = text.replace(word, plain)
        return text

    def _if(self, argument: Sequence[Any]) -> Any:
        condition, *branches = argument
        if isinstance(condition, str):
            condition = self._conditions[condition]
        chosen = branches[:1] if self.value(condition) else branches[1:]
        return self.value(chosen[0]) if chosen else None

    def _unknown(self, resource: str, path: Sequence[Any]) -> str:
        return f"({self._where}{resource}: {', '.join(str(step) for step in path)})"


def _walk(value: Any, path: Sequence[Any]) -> Any:
    for step in path:
        # Nothing is inside of what is not known.
        if isinstance(value, str):
            return value
        # Heat takes nothing for what a map has not.
        value = value[int(step)] if isinstance(value, list) else value.get(step, "")
    return value
