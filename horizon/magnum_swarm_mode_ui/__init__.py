# SPDX-License-Identifier: Apache-2.0
"""Docker Swarm mode in the container-infra panel of Horizon."""
