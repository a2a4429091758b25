# SPDX-License-Identifier: Apache-2.0
"""A complete OpenStack on one machine, for demos, functional tests and benchmarks.

Nothing in ``magnum_swarm_mode`` imports this package. Standard library only, except for the
modules that run inside the virtual environment: ``devcloud.services`` and ``devcloud.dataplane``.
"""
