# SPDX-License-Identifier: Apache-2.0
"""How properties are tested: the same examples each time, however slow the machine is."""

from hypothesis import HealthCheck, settings

PROPERTY = settings(
    derandomize=True,
    database=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
