# SPDX-License-Identifier: Apache-2.0
"""How a node comes into the swarm and stays in it, as its role does it."""
