"""Kernels in C for training on a CPU, compiled on first use where there is a C compiler.

They compute what torch's operators compute, in fewer passes over memory; without a
compiler, or with ``MIXNET_DENSE_NATIVE=0`` in the environment, torch's own run.
"""

from mixnet_dense.native.depthwise import Group, depthwise
from mixnet_dense.native.library import available, disabled, handles
from mixnet_dense.native.norm import norm_act, norm_act_handles

__all__ = ["Group", "available", "depthwise", "disabled", "handles", "norm_act", "norm_act_handles"]
