# SPDX-License-Identifier: Apache-2.0
"""The Django application of the plug-in."""

from django.apps import AppConfig


class SwarmModeConfig(AppConfig):
    """Registers the REST resources that the pages call."""

    name = "magnum_swarm_mode_ui"

    def ready(self) -> None:
        """Import the resources: each registers its address in Horizon's REST API."""
        from magnum_swarm_mode_ui import rest  # noqa: F401
