# SPDX-License-Identifier: Apache-2.0
"""Types of labels' values, for oslo.config; they know no label."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from oslo_config import types

from magnum_swarm_mode import constants
from magnum_swarm_mode.labels import address_pools

_LAST_PORT = 65535


class IPv4Network(types.ConfigType):
    """An IPv4 network without host bits, or nothing where that is allowed."""

    def __init__(self, *, optional: bool = False) -> None:
        super().__init__(type_name="IPv4 network" + (" or empty" if optional else ""))
        self.optional = optional

    def __call__(self, value: object) -> str:
        """Return the network in its usual form; ValueError when it is none."""
        text = str(value).strip()
        if not text and self.optional:
            return ""
        try:
            return str(ipaddress.IPv4Network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is not an IPv4 network: {error}") from error

    def __repr__(self) -> str:
        return f"IPv4Network(optional={self.optional})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IPv4Network) and other.optional == self.optional

    def __hash__(self) -> int:
        return hash((type(self), self.optional))

    def _formatter(self, value: str) -> str:
        return value


class AddressPool(IPv4Network):
    """An IPv4 network without host bits in which containers can have addresses."""

    def __call__(self, value: object) -> str:
        """Return the network in its usual form; ValueError when it is none, or a special range."""
        text = super().__call__(value)
        if reason := address_pools.why_special(text):
            raise ValueError(f"{text} cannot carry traffic: {reason}")
        return text


class Text(types.ConfigType):
    """One line of printable text that matches a pattern as a whole, or nothing.

    :param pattern: what is allowed besides nothing.
    :param ending: what is taken off its end, such as the slash of a URL.
    """

    def __init__(
        self, type_name: str, pattern: str, *, longest: int = 255, ending: str = ""
    ) -> None:
        super().__init__(type_name=type_name)
        self._about = (type_name, pattern, longest, ending)

    def __call__(self, value: object) -> str:
        """Return the text without blanks around it; ValueError when it is not allowed."""
        name, pattern, longest, ending = self._about
        text = str(value).strip()
        if not text:
            return ""
        # Heat's ResourceGroup replaces %index% in every property of its members.
        if len(text) > longest or not text.isprintable() or constants.INDEX in text:
            raise ValueError(f"at most {longest} printable characters are expected")
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"{text!r} is not a {name}")
        return text.removesuffix(ending) if ending else text

    def __repr__(self) -> str:
        return f"Text{self._about}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and other._about == self._about

    def __hash__(self) -> int:
        return hash((type(self), self._about))

    def _formatter(self, value: str) -> str:
        return value


class PortRange(types.ConfigType):
    """A port or a range of ports, with or without its protocol: 80, 53/udp, 8000-8010/tcp."""

    def __init__(self) -> None:
        super().__init__(type_name="port or range of ports")

    def __call__(self, value: object) -> str:
        """Return it with its protocol; ValueError when it is none."""
        text = str(value).strip()
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?", text, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 1 <= first <= last <= _LAST_PORT:
            raise ValueError(f"{text!r} is not a port or a range of ports")
        return (str(first) if first == last else f"{first}-{last}") + "/" + (match[3] or "tcp")

    def __repr__(self) -> str:
        return "PortRange()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortRange)

    def __hash__(self) -> int:
        return hash(type(self))

    def _formatter(self, value: str) -> str:
        return value


class TextList(types.ConfigType):
    """Texts of one type separated by commas or spaces.

    Spaces are offered because the command lines take a comma for the end of a label.
    """

    def __init__(
        self, item: types.ConfigType, type_name: str, *, minimum: int = 0, maximum: int = 64
    ) -> None:
        super().__init__(type_name=type_name)
        self.item = item
        self.minimum = minimum
        self.maximum = maximum

    def __call__(self, value: object) -> tuple[str, ...]:
        """Return each text once, in its usual form; ValueError when one is none."""
        # What was parsed already, as a default is, comes back as it was.
        items: Any = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
        found = tuple(dict.fromkeys(self.item(item) for item in items if item != ""))
        if not self.minimum <= len(found) <= self.maximum:
            raise ValueError(f"{self.minimum} to {self.maximum} are expected")
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.item!r}, {self.minimum}, {self.maximum})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextList) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def _formatter(self, value: Iterable[str]) -> str:
        return ",".join(value)


class NetworkList(TextList):
    """IPv4 networks separated by commas or spaces."""

    def __init__(self, *, minimum: int = 0) -> None:
        super().__init__(IPv4Network(), "list of IPv4 networks", minimum=minimum, maximum=256)


class OptionalInteger(types.Integer):
    """An integer within bounds, or 0 for none."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(min=0, max=most, type_name="integer")
        self.least = least

    def __call__(self, value: object) -> int | None:
        """Return the number; ValueError when it is neither 0 nor within the bounds."""
        number = super().__call__(value)
        if number and number < self.least:
            raise ValueError(f"0 or at least {self.least} is expected")
        return None if number is None else int(number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptionalInteger) and (other.least, other.max) == (
            self.least,
            self.max,
        )

    def __hash__(self) -> int:
        return hash((self.least, self.max))
