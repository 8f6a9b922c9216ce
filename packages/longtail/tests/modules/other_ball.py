"""Geoopt's ball in float64, to compare with; imported in spite of a warning that its use of torch.jit.script gives."""

import warnings

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import geoopt


def geoopt_ball(c: float) -> "geoopt.PoincareBall":
    """Return geoopt's ball; a plain number as curvature would be rounded to float32."""
    return geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64))
