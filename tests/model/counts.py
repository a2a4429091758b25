# SPDX-License-Identifier: Apache-2.0
"""How much was played."""

import dataclasses


@dataclasses.dataclass
class Counts:
    """What the machines of a process have done."""

    sequences: int = 0
    deaths: int = 0
    boundaries: int = 0
    requests: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Return what was done since then."""
        names = [field.name for field in dataclasses.fields(self)]
        return Counts(**{name: getattr(self, name) - getattr(before, name) for name in names})

    def text(self) -> str:
        """Return the counts as a sentence."""
        return (
            f"{self.sequences} sequences, {self.requests} requests, {self.deaths} deaths, "
            f"{self.boundaries} writes and calls"
        )


COUNTS = Counts()
