# SPDX-License-Identifier: Apache-2.0
"""Enables Docker Swarm mode in the container-infra panel; comes after magnum-ui's files (_1370)."""

from magnumclient import exceptions as _magnum

FEATURE = "magnum_swarm_mode_ui"
ADD_INSTALLED_APPS = ["magnum_swarm_mode_ui"]
ADD_ANGULAR_MODULES = ["horizon.dashboard.container-infra.swarm-mode"]
ADD_SCSS_FILES = ["dashboard/container-infra-swarm-mode/swarm-mode.scss"]
AUTO_DISCOVER_STATIC_FILES = True
# magnum-ui declares no errors of Magnum's client, so that Horizon answers each of them with status
# 500. To declare one twice does no harm: this can stay when magnum-ui does so itself.
ADD_EXCEPTIONS = {
    "unauthorized": (_magnum.Unauthorized,),
    "not_found": (_magnum.NotFound,),
    "recoverable": (_magnum.HttpError,),
}
