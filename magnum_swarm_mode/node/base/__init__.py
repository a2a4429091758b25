# SPDX-License-Identifier: Apache-2.0
"""What all of the node program uses: configuration, files, processes, HTTP, the engine's API."""
