# SPDX-License-Identifier: Apache-2.0
"""The demonstration: from a bare machine to a running swarm, with one command.

Standard library only, for it starts before anything is installed. It acts as a user would, with
the public commands and REST APIs, and imports nothing of the driver.

- :mod:`devcloud.demo.shell` -- commands, in the environment a user has after sourcing ``openrc``
- :mod:`devcloud.demo.rest` -- the cloud's REST APIs
- :mod:`devcloud.demo.observe` -- what can be seen of a cluster
- :mod:`devcloud.demo.progress` -- what is shown of it
- :mod:`devcloud.demo.steps` -- what to do about what was found: decisions without I/O
- :mod:`devcloud.demo.main` -- the command
"""
