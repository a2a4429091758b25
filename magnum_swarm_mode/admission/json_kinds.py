# SPDX-License-Identifier: Apache-2.0
"""JSON of the wrong kind in requests to Magnum's API.

Magnum's API reads bodies with a library that fails on some values instead of refusing them: a list
where a number belongs ends as status 500. So the kinds of values are looked at before.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from magnum_swarm_mode import exceptions, text
from magnum_swarm_mode.admission import fields as request_fields

_TRUTH = frozenset({"1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"})
# Magnum's database has columns of 32 bits; no field needs more.
_LARGEST = 2**31


class Kind(enum.Enum):
    """What JSON a field takes; the values complete "must be"."""

    TEXT = "text"
    INTEGER = "an integer"
    TRUTH = "true or false"
    MAP = "an object of names and plain values"
    TEXTS = "a list of texts"
    OTHER = "left out"


def kinds(api_type: Any) -> dict[str, Kind]:
    """Return the kind of each field of one of the API's types."""
    return {item.name: _kind(item.datatype) for item in api_type._wsme_attributes}


def _kind(datatype: Any) -> Kind:
    name = type(datatype).__name__
    if datatype is str or name in ("StringType", "Enum", "DNSListType", "UuidType"):
        return Kind.TEXT
    if datatype is int or name == "IntegerType":
        return Kind.INTEGER
    if name == "BooleanType":
        return Kind.TRUTH
    if name == "DictType":
        return Kind.MAP
    if name == "ArrayType" and datatype.item_type is str:
        return Kind.TEXTS
    # A user type of some other class, as links and times are.
    return Kind.OTHER


def parse(body: bytes) -> Any:
    """Return the JSON of a body.

    :raises Refused: when it is none.
    """
    try:
        return text.parsed(body.decode("utf-8"))
    except ValueError as error:
        raise exceptions.Refused("The request's body is not valid JSON in UTF-8.") from error


def check_object(
    known: Mapping[str, Kind],
    fields: Mapping[str, request_fields.Field],
    body: Any,
    needed: Collection[str] = (),
) -> None:
    """Refuse an object in which a field has JSON of a kind that it does not take.

    :param known: what :func:`kinds` returned; other fields are left to Magnum.
    :param fields: the table of the same type's fields.
    :param needed: fields that may be left out, but not be null.
    :raises Refused: naming the field.
    """
    for name, value in body.items():
        kind = known.get(name)
        if kind is None or (value is None and name not in needed):
            continue
        field = fields.get(name)
        if kind in (Kind.OTHER, Kind.TEXTS) and field is not None:
            if field.handling is not request_fields.Handling.REFUSED or value in field.harmless:
                continue
            raise exceptions.Refused(field.text)
        if not _fits(kind, value):
            raise exceptions.Refused(f"{name} must be {kind.value}.")


def check_patch(
    known: Mapping[str, Kind], body: Any, needed: Collection[str] = (), *, converts: bool = True
) -> None:
    """Refuse a JSON patch that would give a field a value of a kind that it does not take.

    :param needed: fields that cannot be removed.
    :param converts: whether Magnum makes numbers of texts where a field takes numbers.
    :raises Refused: naming the field.
    """
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise exceptions.Refused("A patch must be a list of objects with op, path and value.")
    for item in body:
        path, value = item.get("path"), item.get("value")
        name = path[1:] if isinstance(path, str) else ""
        if item.get("op") == "remove" and name in needed:
            raise exceptions.Refused(
                f"{name} cannot be removed; replace it with the value that it is to have."
            )
        if item.get("op") == "remove" or name not in known:
            continue
        kind = known[name]
        # Patches carry text, integers and booleans only; what is more is written as text.
        if not isinstance(value, (str, int)):
            plain = kind.value if kind in (Kind.INTEGER, Kind.TRUTH) else "text or an integer"
            raise exceptions.Refused(f"The value of {name} in a patch must be {plain}.")
        if kind in (Kind.TEXT, Kind.MAP) and not isinstance(value, str):
            raise exceptions.Refused(f"{name} must be text in a patch.")
        if kind is Kind.INTEGER and not converts and isinstance(value, str):
            raise exceptions.Refused(f"{name} must be an integer, without quotes.")
        if kind in (Kind.INTEGER, Kind.TRUTH) and not _fits(kind, value):
            raise exceptions.Refused(f"{name} must be {kind.value}.")


def _fits(kind: Kind, value: Any) -> bool:
    if kind is Kind.TEXT:
        return isinstance(value, str)
    if kind is Kind.INTEGER:
        return _is_integer(value)
    if kind is Kind.TRUTH:
        plain = isinstance(value, (bool, str)) or value in (0, 1)
        return plain and str(value).strip().lower() in _TRUTH
    if kind is Kind.TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if kind is Kind.MAP:
        return isinstance(value, dict) and _are_plain(value.values())
    return False


def _is_integer(value: Any) -> bool:
    if isinstance(value, str):
        # Some clients write numbers as text.
        return re.fullmatch(r"-?[0-9]{1,10}", value) is not None and abs(int(value)) < _LARGEST
    # What is too large is refused in other words where the field has bounds of its own.
    return isinstance(value, int) and not isinstance(value, bool)


def _are_plain(values: Iterable[Any]) -> bool:
    return all(
        isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
        for value in values
    )
