# SPDX-License-Identifier: Apache-2.0
"""What a node does for itself, whatever its role: one module for each duty."""
