# SPDX-License-Identifier: Apache-2.0
"""Dataclasses as JSON, for what conductors of several releases read and write.

What a newer release wrote and this one does not know is kept in a class's field ``unknown``, where
it has one, and is written again. A value of another kind than is expected is left as it is: whoever
uses it finds out, and a record stays readable for everybody else.
"""

import copy
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

_UNKNOWN = "unknown"
_PLAIN = (str, int, float, bool, type(None))


def dump(value: Any) -> Any:
    """Return what JSON can hold."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if names := _names(kind):
        own = {name: dump(getattr(value, name)) for name in names}
        return {**own.pop(_UNKNOWN, {}), **own}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): dump(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [dump(one) for one in value]
    return value


def load(kind: Any, value: Any) -> Any:
    """Return what :func:`dump` was given.

    :param kind: its type, as annotations have it.
    :raises TypeError: when a field is missing that has no default.
    """
    return _reader(kind)(value)


@functools.cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Return what reads values of a type; records are read often, and types never change."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        kinds = [one for one in arguments if one is not type(None)]
        if len(kinds) != 1:
            return lambda value: value
        only = _reader(kinds[0])
        return lambda value: None if value is None else only(value)
    if dataclasses.is_dataclass(kind):
        return lambda value: _object(kind, value) if isinstance(value, Mapping) else value
    if origin in (tuple, list):
        each = _reader(arguments[0])
        return lambda value: origin(map(each, value)) if isinstance(value, list) else _copied(value)
    if len(arguments) > 1:
        named = _reader(arguments[1])
        return lambda value: (
            {key: named(one) for key, one in value.items()}
            if isinstance(value, Mapping)
            else _copied(value)
        )
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return lambda value: next((one for one in kind if one.value == value), value)
    return _copied


def _copied(value: Any) -> Any:
    return value if type(value) in _PLAIN else copy.deepcopy(value)


def _object(kind: Any, values: Mapping[str, Any]) -> Any:
    readers = _readers(kind)
    known, unknown = {}, {}
    for name, one in values.items():
        if (reader := readers.get(name)) is not None:
            known[name] = one if reader is _copied and type(one) in _PLAIN else reader(one)
        else:
            unknown[name] = copy.deepcopy(one)
    if _UNKNOWN in readers:
        known[_UNKNOWN] = unknown
    return kind(**known)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; none of any other type."""
    if not dataclasses.is_dataclass(kind):
        return ()
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _readers(kind: Any) -> dict[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return {name: _reader(hints[name]) for name in _names(kind)}
