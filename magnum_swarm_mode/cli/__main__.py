# SPDX-License-Identifier: Apache-2.0
"""``python -m magnum_swarm_mode.cli`` is the ``magnum`` command."""

import sys

from magnum_swarm_mode.cli.main import main

sys.exit(main())
