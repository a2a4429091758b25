# SPDX-License-Identifier: Apache-2.0
"""Fakes of services at the wire, which the suites share."""
