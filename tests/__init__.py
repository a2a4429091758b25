# SPDX-License-Identifier: Apache-2.0
import os

# Logs belong to the report of a test that failed, not between the names of those that pass.
os.environ.setdefault("OS_LOG_CAPTURE", "1")
