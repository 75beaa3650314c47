"""Diameters and crowns of trees from their heights, by published allometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

INCH_CM, FOOT_M, BREAST_FT = 2.54, 0.3048, 4.5
JUCKER_FACTOR, JUCKER_POWER = 0.557, 0.809
"""Jucker et al. 2017 (Global Change Biology 23, 177-190), all biomes: D = 0.557 (H CD)^0.809."""

DIAMETERS_CM = np.geomspace(0.2, 400, 800)
"""Where height curves are tabulated to be read backwards [cm]."""


@dataclass(frozen=True, kw_only=True)
class HeightCurve:
    """Height over diameter as H = 4.5 + a exp(-b D^c), in feet and inches.

    The form is that of Curtis 1967 (Forest Science 13, 365-375) and Arney 1985. The U.S. Forest
    Vegetation Simulator takes it for most of its variants; its coefficients are those of table
    4.1.1 in the overview of a variant.

    Attributes:
        a: Height of an endless stem above breast height [ft].
        b: Factor of the exponent.
        c: Power of the diameter, negative.
    """

    a: float
    b: float
    c: float

    def height(self, diameter_cm: Values) -> Values:
        """Return heights [m] of diameters at breast height [cm]."""
        inches = diameter_cm / INCH_CM
        feet: Values = BREAST_FT + self.a * np.exp(-self.b * inches**self.c)
        return feet * FOOT_M

    def diameter(self, height_m: Values) -> Values:
        """Return diameters at breast height [cm] of heights [m]; below breast height tiny ones."""
        return np.interp(height_m, self.height(DIAMETERS_CM), DIAMETERS_CM)


@dataclass(frozen=True, kw_only=True)
class TropicalCurve:
    """Height over diameter as ln H = 0.893 - E + 0.760 ln D - 0.0340 (ln D)^2.

    Chave et al. 2014 (Global Change Biology 20, 3177-3190), equation 6a.

    Attributes:
        stress: E, the environmental stress: below 0 in rain forests, near 1 in dry savannas.
    """

    stress: float

    def height(self, diameter_cm: Values) -> Values:
        """Return heights [m] of diameters at breast height [cm]."""
        log = np.log(diameter_cm)
        metres: Values = np.exp(0.893 - self.stress + 0.760 * log - 0.0340 * log**2)
        return metres

    def diameter(self, height_m: Values) -> Values:
        """Return diameters at breast height [cm] of heights [m]."""
        return np.interp(height_m, self.height(DIAMETERS_CM), DIAMETERS_CM)


# Forest Vegetation Simulator, Southern variant: loblolly and longleaf pine.
LOBLOLLY_PINE = HeightCurve(a=243.860648, b=4.28460566, c=-0.47130185)
LONGLEAF_PINE = HeightCurve(a=98.56082813, b=3.89930709, c=-0.86730393)
# Pacific Northwest Coast variant, Siuslaw: Douglas-fir and western hemlock.
DOUGLAS_FIR = HeightCurve(a=407.1595, b=7.2885, c=-0.5908)
WESTERN_HEMLOCK = HeightCurve(a=1196.619, b=5.7904, c=-0.2906)
MOIST_FOREST, DRY_SAVANNA = TropicalCurve(stress=0.1), TropicalCurve(stress=0.8)


def crown_radius(height_m: Values, diameter_cm: Values) -> Values:
    """Return crown radii [m] of trees of given heights [m] and diameters at breast height [cm].

    It is the equation of Jucker et al. 2017 solved for the crown, without its correction for the
    mean of logarithms: the median crown.
    """
    crown: Values = (diameter_cm / JUCKER_FACTOR) ** (1 / JUCKER_POWER) / height_m
    return crown / 2


def stem_diameter(height_m: Values, radius_m: Values) -> Values:
    """Return diameters at breast height [cm] from heights and crown radii [m] (Jucker et al.)."""
    diameter: Values = JUCKER_FACTOR * (height_m * 2 * radius_m) ** JUCKER_POWER
    return diameter
