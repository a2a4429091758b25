# SPDX-License-Identifier: Apache-2.0
"""Which clusters are looked at, by which conductor, and in how many threads."""
