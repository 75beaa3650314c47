"""How far predicted heights are from reference heights: by pixel, block, edge, cover and class."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Heights = NDArray[np.floating]
Mask = NDArray[np.bool_]

CLASS_EDGES_M = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, float("inf"))
"""Edges of the classes of reference height [m], as in Open-Canopy (Fogel et al. 2025) but for the
last, which is open here. A class holds its lower edge and not its upper one."""

TREE_M = 2.0
"""Reference height from which on a normalised error is taken [m], as in Open-Canopy."""

FLAT_M2 = 1e-9
"""A smaller variance of heights [m2] is rounding: they do not vary."""

SOBEL_SUM = 8
"""What a Sobel kernel adds up to on a ramp of one unit a pixel."""


@dataclass(frozen=True, kw_only=True)
class HeightErrors:
    """Errors of a set of heights.

    Attributes:
        count: Number of valid heights compared.
        mae: Mean absolute error [m].
        rmse: Root mean squared error [m].
        bias: Mean of prediction minus reference [m]; positive means too tall.
        r2: Coefficient of determination, 1 - SSE / SST; NaN where the reference does not vary.
    """

    count: int
    mae: float
    rmse: float
    bias: float
    r2: float

    def as_dict(self) -> dict[str, float]:
        """The errors by name, ready for JSON."""
        return asdict(self)


def height_errors(
    prediction: Heights, reference: Heights, valid: Mask | None = None
) -> HeightErrors:
    """Compare predicted with reference heights.

    Args:
        prediction: Heights [m], any shape.
        reference: Heights [m], of the same shape.
        valid: True where both count; all finite pairs by default.

    Returns:
        The errors over all valid heights together.

    Raises:
        ValueError: If shapes differ, if nothing is valid, or if a valid height is not finite.
    """
    predicted, true = _valid_heights(prediction, reference, valid)
    difference = predicted - true
    return HeightErrors(
        count=int(true.size),
        mae=float(np.abs(difference).mean()),
        rmse=float(np.sqrt(np.square(difference).mean())),
        bias=float(difference.mean()),
        r2=determination(predicted, true),
    )


def determination(prediction: Heights, reference: Heights) -> float:
    """R2 = 1 - SSE / SST of finite heights [m]; NaN where the reference does not vary."""
    total = float(np.square(reference - reference.mean()).sum())
    if total <= FLAT_M2 * reference.size:
        return float("nan")
    return 1 - float(np.square(prediction - reference).sum()) / total


def slope_on_reference(prediction: Heights, reference: Heights) -> tuple[float, float]:
    """Least-squares line of finite predictions [m] on reference heights [m].

    Returns:
        Slope and intercept [m]: prediction = intercept + slope * reference. A slope below one says
        that the tall are predicted too low, or the low too tall. NaN where the reference does not
        vary.
    """
    centred = reference - reference.mean()
    spread = float(np.square(centred).sum())
    if spread <= FLAT_M2 * reference.size:
        return float("nan"), float("nan")
    slope = float((centred * (prediction - prediction.mean())).sum()) / spread
    return slope, float(prediction.mean()) - slope * float(reference.mean())


def normalised_mae(
    prediction: Heights, reference: Heights, valid: Mask | None = None, *, least_m: float = TREE_M
) -> float:
    """Mean of |prediction - reference| / (1 m + reference) where the reference is tall enough.

    The formula of Open-Canopy's code (compute_metrics.py); the metre keeps it finite near 0.

    Args:
        prediction: Heights [m], any shape.
        reference: Heights [m], of the same shape.
        valid: True where both count; all finite pairs by default.
        least_m: Reference height from which on a pixel counts [m].

    Returns:
        The error as a share of the height, 0.2 for 20 %; NaN where nothing is tall enough.

    Raises:
        ValueError: As `height_errors`.
    """
    predicted, true = _valid_heights(prediction, reference, valid)
    tall = true >= least_m
    if not tall.any():
        return float("nan")
    return float((np.abs(predicted - true)[tall] / (1 + true[tall])).mean())


def cover_iou(
    prediction: Heights, reference: Heights, valid: Mask | None = None, *, least_m: float = 2.0
) -> float:
    """Intersection over union of tree cover, where cover is a height of `least_m` [m] or more.

    Returns:
        0 to 1; NaN where neither has any cover.

    Raises:
        ValueError: As `height_errors`.
    """
    predicted, true = _valid_heights(prediction, reference, valid)
    union = int(((predicted >= least_m) | (true >= least_m)).sum())
    both = int(((predicted >= least_m) & (true >= least_m)).sum())
    return both / union if union else float("nan")


def sobel_gradient(
    heights: Heights, valid: Mask, pixel_m: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.float64], Mask]:
    """Steepness of a surface of heights by Sobel's kernels.

    Kernels are divided by 8 and by the pixel's side, so that a ramp that rises one metre a metre
    has a gradient of 1.

    Args:
        heights: Heights [m] (y, x).
        valid: True where a height counts (y, x).
        pixel_m: Width and height of a pixel [m].

    Returns:
        Magnitude of the gradient [m/m] (y, x), 0 where invalid, and its mask: True where all nine
        heights of the neighbourhood are valid, so nowhere on the border.
    """
    filled = np.where(valid, heights, 0.0).astype(np.float64)
    across = ndimage.sobel(filled, axis=1) / (SOBEL_SUM * pixel_m[0])
    down = ndimage.sobel(filled, axis=0) / (SOBEL_SUM * pixel_m[1])
    whole = ndimage.binary_erosion(valid, np.ones((3, 3), bool))
    return np.where(whole, np.hypot(across, down), 0.0), whole


def edge_error(
    prediction: Heights,
    reference: Heights,
    valid: Mask,
    *,
    pixel_m: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Mean absolute difference of the gradients of two surfaces (y, x) [m/m]; see `sobel_gradient`.

    After the "edge error" of CHMv2 (Brandt et al. 2026, section 4.4), which states no
    normalisation. NaN where no neighbourhood is whole.
    """
    predicted, whole = sobel_gradient(prediction, valid, pixel_m)
    true, _ = sobel_gradient(reference, valid, pixel_m)
    return float(np.abs(predicted - true)[whole].mean()) if whole.any() else float("nan")


def class_errors(
    prediction: Heights, reference: Heights, valid: Mask | None = None
) -> list[HeightErrors | None]:
    """Compare heights by class of reference height, see `CLASS_EDGES_M`; None for an empty class.

    Raises:
        ValueError: As `height_errors`.
    """
    predicted, true = _valid_heights(prediction, reference, valid)
    found = np.digitize(true, CLASS_EDGES_M[1:-1])
    return [
        height_errors(predicted[found == number], true[found == number])
        if (found == number).any()
        else None
        for number in range(len(CLASS_EDGES_M) - 1)
    ]


def block_r2(prediction: Heights, reference: Heights, valid: Mask, *, size: int = 50) -> float:
    """R2 of the means of whole blocks of `size` px; NaN where there are none, or all are alike.

    With 50 px it is the block R2 of the code of Tolan et al. (2024), which first crops three rows
    and columns of every 256 px tile; here blocks start at the upper left corner of what is given,
    nothing is cropped, and a block counts where half of it is valid.
    """
    rows, columns = (length // size * size for length in valid.shape)
    whole = slice(rows), slice(columns)
    predicted, kept = block_means(prediction[whole], valid[whole], size=size)
    true, _ = block_means(reference[whole], valid[whole], size=size)
    return determination(predicted[kept], true[kept]) if kept.any() else float("nan")


def block_means(
    heights: Heights, valid: Mask, *, size: int | tuple[int, int] = 3, least_valid: float = 0.5
) -> tuple[NDArray[np.float64], Mask]:
    """Average heights over square blocks, to look past misalignments smaller than a block.

    Blocks start at the upper left corner and do not overlap; those cut by the lower or right edge
    count what they hold.

    Args:
        heights: Heights [m] (y, x).
        valid: True where a height counts (y, x).
        size: Side of a block [px], or its rows and its columns.
        least_valid: Share of a whole block's pixels that must be valid for the block to count.

    Returns:
        Mean heights [m] (ceil(y / size), ceil(x / size)), 0 where too little is valid, and their
        mask (True = valid).
    """
    sides = (size, size) if isinstance(size, int) else size
    sums = _block_sums(np.where(valid, heights, 0.0).astype(np.float64), sides)
    counts = _block_sums(valid.astype(np.float64), sides)
    kept = counts >= max(least_valid * sides[0] * sides[1], 1)
    return np.where(kept, sums / np.maximum(counts, 1), 0.0), kept


def block_errors(
    prediction: Heights, reference: Heights, valid: Mask, *, size: int = 3
) -> HeightErrors:
    """Compare block means (y, x) [m] instead of pixels; see `block_means` and `height_errors`."""
    predicted, kept = block_means(prediction, valid, size=size)
    true, _ = block_means(reference, valid, size=size)
    return height_errors(predicted, true, kept)


def _block_sums(values: NDArray[np.float64], sides: tuple[int, int]) -> NDArray[np.float64]:
    """Sums over blocks (y, x), the last ones filled up with zeros."""
    rows, columns = values.shape
    down, across = sides
    padded = np.pad(values, ((0, -rows % down), (0, -columns % across)))
    summed: NDArray[np.float64] = padded.reshape(
        padded.shape[0] // down, down, padded.shape[1] // across, across
    ).sum(axis=(1, 3))
    return summed


def _valid_heights(
    prediction: Heights, reference: Heights, valid: Mask | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The heights to compare, as two flat arrays of float64."""
    if prediction.shape != reference.shape or (
        valid is not None and valid.shape != reference.shape
    ):
        shapes = (
            f"{prediction.shape}, {reference.shape} and {None if valid is None else valid.shape}"
        )
        message = f"found heights and mask of shapes {shapes}; expected one shape; align them first"
        raise ValueError(message)
    chosen = np.isfinite(prediction) & np.isfinite(reference) if valid is None else valid
    predicted, true = prediction[chosen].astype(np.float64), reference[chosen].astype(np.float64)
    if true.size == 0:
        message = "found no valid height to compare; expected at least one; check the validity mask"
        raise ValueError(message)
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        message = "found NaN or infinite heights marked as valid; mask them out first"
        raise ValueError(message)
    return predicted, true
