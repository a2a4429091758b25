# SPDX-License-Identifier: Apache-2.0
"""Shows that the tests of attacks notice where a guard is missing.

``python -m tests.guards [NUMBER ...]`` takes one guard after the other out of this checkout, runs
the tests that must fail then, and puts it back. It prints a line for each, and ends with 1 where no
test failed. It refuses to run in a checkout that has changes.
"""
