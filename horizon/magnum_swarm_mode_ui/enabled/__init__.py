# SPDX-License-Identifier: Apache-2.0
"""What Horizon reads to enable the plug-in; its file is copied to local/enabled."""
