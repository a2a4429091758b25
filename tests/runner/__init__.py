# SPDX-License-Identifier: Apache-2.0
"""What ``tools/test`` runs: only what neither stestr nor tox does.

Python's standard library only, because it runs before anything is installed.

===============  ===========================================================================
``steps``        what there is to run, and how a step ended
``processes``    runs one command, with its log, deadline and priority; ends all of it
``schedule``     runs the steps: beside each other, with the cloud up, tests by their plan
``report``       prints how all ended: times, log tails, tracebacks, the last line
``main``         the command line, and what a signal does
===============  ===========================================================================
"""
