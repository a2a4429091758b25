# SPDX-License-Identifier: Apache-2.0
"""The parsers of what comes from outside, by name."""

from tests.fuzz.harness import Target
from tests.fuzz.targets import api, backup, docker, heat, join, node, record

ALL: dict[str, Target] = {
    one.name: one
    for module in (docker, heat, node, join, backup, api, record)
    for one in module.TARGETS
}
