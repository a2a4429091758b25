# SPDX-License-Identifier: Apache-2.0
"""Fakes of services at the wire, and what else the suites share.

================  ==================================================================================
``wire``          an HTTP server of a fake, and how services misbehave
``docker``        the part of the Docker API that the conductor asks for, over TLS
``barbican``      Barbican as Magnum stores certificates in it
``certificates``  certificates of fakes, made on the spot
``rows``          cluster templates and clusters as magnum-api hands them to the conductor
================  ==================================================================================
"""
