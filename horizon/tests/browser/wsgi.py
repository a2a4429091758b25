# SPDX-License-Identifier: Apache-2.0
"""Horizon with its static files, in one WSGI application; for tests."""

from django.conf import settings
from openstack_dashboard.wsgi import application as horizon
from whitenoise import WhiteNoise

application = WhiteNoise(horizon, root=settings.STATIC_ROOT, prefix="static/")
