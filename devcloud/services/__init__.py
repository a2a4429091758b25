# SPDX-License-Identifier: Apache-2.0
"""Modules that run inside the virtual environment; each is started with ``python -m``."""
