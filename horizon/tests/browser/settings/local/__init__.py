# SPDX-License-Identifier: Apache-2.0
"""Settings of a Horizon for tests; "local" is found here before Horizon's own."""
