# SPDX-License-Identifier: Apache-2.0
"""Play sequences: ``python -m tests.model --sequences N``."""

import argparse
import sys

from tests.model import machine


def main() -> int:
    """Play, and print what broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts, failed = machine.Counts(), 0
    for seed in range(options.seed, options.seed + options.sequences):
        broken, story = machine.play(seed, counts)
        for number in filter(None, map(machine.known, broken)):
            counts.open[number] = counts.open.get(number, 0) + 1
        broken = [one for one in broken if not machine.known(one)]
        if broken:
            failed += 1
            sys.stdout.write(f"seed {seed}: {broken}\n  {'; '.join(story)}\n")
    sys.stdout.write(
        f"{counts.sequences} sequences, {counts.deaths} deaths, {counts.events} writes and "
        f"requests, {failed} broke an invariant; "
        f"known faults met: {counts.open}\n"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
