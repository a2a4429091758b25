# SPDX-License-Identifier: Apache-2.0
"""Neutron's WSGI application with all database mappers configured before the first request.

A ``GET /v2.0/ports`` that is the very first request fails with 500 otherwise: a relationship of
the port model exists only once the mappers of all models are configured (Neutron 29).
"""

from neutron.wsgi.api import application
from sqlalchemy import orm

__all__ = ["application"]

orm.configure_mappers()
