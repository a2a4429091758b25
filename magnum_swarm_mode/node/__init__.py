# SPDX-License-Identifier: Apache-2.0
"""The program that runs on every node. Standard library only; it never imports the control side."""
