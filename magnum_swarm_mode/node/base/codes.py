# SPDX-License-Identifier: Apache-2.0
"""Codes of the reasons why a node fails: for programs, beside the sentence for people.

The signal of a failure carries the code as its data. The control side looks up by it what helps.
"""

import enum


class Code(enum.Enum):
    """The reason why a node failed."""

    OTHER = "NodeFailed"  # whatever has no code of its own
    CERTIFICATE_NOT_SIGNED = "CertificateNotSigned"  # Keystone or Magnum did not answer in time
    CERTIFICATE_REFUSED = "CertificateRefused"
    CLOCK_SKEW = "ClockSkew"
    DISK_FULL = "DiskFull"
    ENGINE_FAILED = "EngineFailed"
    MANAGERS_UNREACHABLE = "ManagersUnreachable"
    NOT_JOINED = "NotJoined"  # managers answered, and there was no place in the swarm in time
    PACKAGES_UNAVAILABLE = "PackagesUnavailable"
    QUORUM_LOST = "QuorumLost"
    UNEXPECTED = "UnexpectedError"
    VERSION_UNAVAILABLE = "VersionUnavailable"
    VOLUME_MISSING = "VolumeMissing"
    VOLUME_NOT_EXT4 = "VolumeNotExt4"
