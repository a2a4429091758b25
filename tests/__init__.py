# SPDX-License-Identifier: Apache-2.0
"""Tests of all kinds."""

import contextlib
import os

# Logs belong to the report of a test that failed, not between the names of those that pass.
os.environ.setdefault("OS_LOG_CAPTURE", "1")

# Processes of older releases of Magnum import from here, too; their environments lack it.
with contextlib.suppress(ImportError):
    import hypothesis

    # On a machine that is busy with other tests an example may take any time. What must be fast is
    # measured by benchmarks, or with a limit of its own.
    hypothesis.settings.register_profile(
        "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("busy")
