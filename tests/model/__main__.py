# SPDX-License-Identifier: Apache-2.0
"""Play sequences: ``python -m tests.model --sequences N --seed S``."""

import argparse
import sys

from tests.model import machine
from tests.model.counts import COUNTS


def main() -> int:
    """Play, and print what broke, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=2000, help="altogether")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--emphasis", choices=sorted(machine.EMPHASES), action="append")
    options = parser.parse_args()
    emphases = options.emphasis or list(machine.EMPHASES)
    failed = False
    for name in emphases:
        try:
            machine.play(name, options.sequences // len(emphases), options.seed)
        except AssertionError as error:
            failed = True
            notes = "\n".join(getattr(error, "__notes__", ()))
            sys.stdout.write(f"{name}: {error}\n{notes}\n")
    sys.stdout.write(f"{COUNTS.text()}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
