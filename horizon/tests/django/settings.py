# SPDX-License-Identifier: Apache-2.0
"""Settings of the Django tests: Horizon's own, with magnum-ui and the plug-in enabled."""

from horizon.test.settings import *  # noqa: F403
from openstack_dashboard.test.settings import *  # noqa: F403

import magnum_ui.enabled
import openstack_dashboard.enabled
from openstack_dashboard.utils import settings

import magnum_swarm_mode_ui.enabled

HORIZON_CONFIG.pop("dashboards", None)  # noqa: F405
HORIZON_CONFIG.pop("default_dashboard", None)  # noqa: F405
settings.update_dashboards(
    [magnum_ui.enabled, magnum_swarm_mode_ui.enabled, openstack_dashboard.enabled],
    HORIZON_CONFIG,  # noqa: F405
    INSTALLED_APPS,  # noqa: F405
)
INSTALLED_APPS = list(dict.fromkeys(INSTALLED_APPS))  # noqa: F405
