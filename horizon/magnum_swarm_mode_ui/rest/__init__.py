# SPDX-License-Identifier: Apache-2.0
"""The REST resources that the pages call, below api/container_infra/swarm_mode."""

from magnum_swarm_mode_ui.rest import client_files, cluster_templates, clusters, node_groups

__all__ = ["client_files", "cluster_templates", "clusters", "node_groups"]
