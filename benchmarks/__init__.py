# SPDX-License-Identifier: Apache-2.0
"""What is measured, as commands; each prints its figures with their aims."""
