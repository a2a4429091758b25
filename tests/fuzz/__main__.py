# SPDX-License-Identifier: Apache-2.0
"""Give inputs to parsers: ``python -m tests.fuzz --inputs 100000 --seed 1``.

Prints a line for each target. The exit code is 1 where an input breaks a contract.
"""

import argparse
import sys

from tests.fuzz import harness, targets


def main() -> int:
    """Give inputs to all targets, or to some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=sorted(targets.ALL), action="append")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write what breaks to the corpus")
    options = parser.parse_args()
    broken = False
    for name in options.target or targets.ALL:
        figures = harness.Runner(targets.ALL[name]).run(options.inputs, options.seed)
        harness.report(figures, keeps=options.keep)
        broken |= bool(figures.findings)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
