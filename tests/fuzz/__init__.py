# SPDX-License-Identifier: Apache-2.0
"""Inputs that nobody meant, for each parser of what comes from outside."""
