"""Plots whose errors are drawn from a known distribution."""

from __future__ import annotations

import numpy as np

from canopy.calibration.conformal import ModelFacts, PlotSample
from geo.spatial_split import PlotBox

FACTS = ModelFacts(
    model="small 1", weights_sha256="", gsd_m=0.6, radiometry="satellite", scale="height",
    data="drawn", predictions="own",
)  # fmt: skip


def box(number, side=40.0):
    """Ground of its own for each plot, far from the others."""
    left = 1000.0 * number
    return PlotBox(site="site", left=left, bottom=0, right=left + side, top=side)


def sample_of(number, heights, scale, true, site="site"):
    """A plot."""
    arrays = (np.asarray(values, np.float32) for values in (heights, scale, true))
    names = ("heights", "scale", "true")
    return PlotSample(
        plot=f"plot {number}", site=site, image=f"image {number}", box=box(number),
        **dict(zip(names, arrays, strict=True)),
    )  # fmt: skip


def draw_plot(rng, number, pixels=150):
    """A plot of low, middle or tall forest; its errors are skewed, and its pixels err alike.

    Pixel = plot's own lean + skewed noise, times a scale that is known pixel by pixel.
    """
    middle = rng.choice([1.0, 8.0, 22.0])
    heights = np.maximum(rng.normal(middle, 3.0, pixels), 0)
    scale = rng.uniform(0.5, 3.0, pixels)
    errors = rng.normal(0, 0.7) + rng.gamma(2.0, 0.6, pixels) - 0.6
    return sample_of(number, heights, scale, np.maximum(heights + scale * errors, 0))


def draw_plots(seed, count):
    """Exchangeable plots."""
    rng = np.random.default_rng(seed)
    return [draw_plot(rng, number) for number in range(count)]
