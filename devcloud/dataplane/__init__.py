# SPDX-License-Identifier: Apache-2.0
"""What carries the one-machine cloud's servers: machines, networks, filters, volumes.

========================  ==========================================================  ===========
module                    duty                                                        imports
========================  ==========================================================  ===========
``commands``              run a host command, fail with its output                    stdlib
``cgroup``                a cgroup per machine, in version 1 and 2 hierarchies        stdlib
``fabric``                the namespace that holds every bridge, the host's link      stdlib
``host_limits``           limits of the kernel that many machines would meet          stdlib
``machine``               one systemd-nspawn machine: create, start, stop, remove     stdlib
``machine_files``         pure: the files that a machine is booted with               stdlib
``loop_devices``          Cinder's files as block devices                             stdlib
``network_model``         pure: what Neutron wants, as typed values                   stdlib
``filter_rules``          pure: security groups to nftables text                      stdlib
``routers``               pure: routers and floating IPs to commands and text         stdlib
``router_namespaces``     applies ``routers`` to network namespaces                   stdlib
``connections``           pure: which tracked connections are no longer allowed       stdlib
``tracking``              reads the tracked connections, removes some                 pyroute2
``nova_values``           pure: Nova's descriptions of ports and volumes              stdlib
``cleanup``               removes everything of ours that is still there              stdlib
``network_daemon``        watches Neutron, applies filters and routers                keystoneauth
``neutron_wsgi``          Neutron's API application, status reports from the daemon   neutron
``mechanism``             ML2 mechanism driver                                        neutron
``nova``                  Nova virt driver                                            nova
``nova_compute``          starts nova-compute with that driver                        nova
``cinder``                Cinder volume driver                                        cinder
========================  ==========================================================  ===========

A machine is no security boundary against the host: its root could leave it. It is one against
other machines on the network, as filters and addresses are enforced outside of it.

Everything runs as root. What is only standard library runs under the system's bare Python, so
that ``down`` works without the virtual environment.
"""
