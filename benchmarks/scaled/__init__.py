# SPDX-License-Identifier: Apache-2.0
"""What ``benchmarks/scale.py`` runs and counts."""
