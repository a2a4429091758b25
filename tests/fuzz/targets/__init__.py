# SPDX-License-Identifier: Apache-2.0
"""The parsers of what comes from outside, by name."""

from tests.fuzz.harness import Target
from tests.fuzz.targets import api, backup, calls, docker, heat, join, node, record, signing

ALL: dict[str, Target] = {
    one.name: one
    for module in (docker, heat, node, join, signing, backup, api, calls, record)
    for one in module.TARGETS
}
