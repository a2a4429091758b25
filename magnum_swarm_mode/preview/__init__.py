# SPDX-License-Identifier: Apache-2.0
"""What a cluster would be made of, shown without a cloud: ``magnum-swarm-mode render``.

It decides and builds with the driver's own functions, and imports neither Magnum nor anything else
that the bare package does not bring.
"""
