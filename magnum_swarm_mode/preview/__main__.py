# SPDX-License-Identifier: Apache-2.0
"""``python -m magnum_swarm_mode.preview``: the same as the command ``magnum-swarm-mode``."""

import sys

from magnum_swarm_mode.preview.main import main

if __name__ == "__main__":
    sys.exit(main())
