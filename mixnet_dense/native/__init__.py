"""Kernels in C for a CPU, compiled on first use where there is a C compiler.

They compute what torch's operators compute, in fewer passes over memory; without a
compiler, or with ``MIXNET_DENSE_NATIVE=0`` in the environment, torch's own run.
"""

from mixnet_dense.native.depthwise import Group, depthwise, depthwise_act
from mixnet_dense.native.library import ACTS, available, disabled, handles
from mixnet_dense.native.norm import norm_act, norm_act_handles

__all__ = [
    "ACTS",
    "Group",
    "available",
    "depthwise",
    "depthwise_act",
    "disabled",
    "handles",
    "norm_act",
    "norm_act_handles",
]
