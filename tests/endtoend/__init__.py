# SPDX-License-Identifier: Apache-2.0
"""Tests against a running one-machine cloud (``tools/devcloud up``), as its users, as root.

They run one after the other in one process and share clusters (:mod:`tests.endtoend.shared`).
Modules are numbered in the order in which that saves most time; the last one restarts the cloud.
Those that mostly wait for clusters of their own run beside each other before, in a process for each
name of ``beside`` (:mod:`tests.plan`).

What users do is done with the users' commands, in environments of their own; only looking and
waiting uses the REST APIs directly.
"""
