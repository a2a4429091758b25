# SPDX-License-Identifier: Apache-2.0
"""The one table of our own in Magnum's database, with its own schema version."""
