# SPDX-License-Identifier: Apache-2.0
"""The program that runs on every node. Standard library only; it never imports the control side.

``main`` has its verbs. ``duties`` does what a node does for itself, ``swarm`` finds its place in
the swarm, and both use ``base``; ``manifest`` names what each role's user-data carries.
"""
