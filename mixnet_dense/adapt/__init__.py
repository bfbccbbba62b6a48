"""Fit a network's table to a device: proposals, carried weights, latency.

NetAdapt, https://arxiv.org/abs/1804.03230, as MobileNetV3 section 4.2 uses it.
"""
