# SPDX-License-Identifier: Apache-2.0
"""The ``magnum`` command."""


def main() -> int:
    """Run the command and return its exit code."""
    return 0
