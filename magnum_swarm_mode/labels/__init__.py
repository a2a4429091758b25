# SPDX-License-Identifier: Apache-2.0
"""The labels of a cluster: typed options that a user sets on a cluster or its template; pure."""
