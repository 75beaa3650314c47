"""How far predicted heights are from reference heights: MAE, RMSE, bias and R2."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Heights = NDArray[np.floating]
Mask = NDArray[np.bool_]


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
    if total == 0:
        return float("nan")
    return 1 - float(np.square(prediction - reference).sum()) / total


def block_means(
    heights: Heights, valid: Mask, *, size: int = 3, least_valid: float = 0.5
) -> tuple[NDArray[np.float64], Mask]:
    """Average heights over square blocks, to look past misalignments smaller than a block.

    Blocks start at the upper left corner and do not overlap; those cut by the lower or right edge
    count what they hold.

    Args:
        heights: Heights [m] (y, x).
        valid: True where a height counts (y, x).
        size: Side of a block [px].
        least_valid: Share of a whole block's pixels that must be valid for the block to count.

    Returns:
        Mean heights [m] (ceil(y / size), ceil(x / size)), 0 where too little is valid, and their
        mask (True = valid).
    """
    sums = _block_sums(np.where(valid, heights, 0.0).astype(np.float64), size)
    counts = _block_sums(valid.astype(np.float64), size)
    kept = counts >= max(least_valid * size**2, 1)
    return np.where(kept, sums / np.maximum(counts, 1), 0.0), kept


def block_errors(
    prediction: Heights, reference: Heights, valid: Mask, *, size: int = 3
) -> HeightErrors:
    """Compare block means (y, x) [m] instead of pixels; see `block_means` and `height_errors`."""
    predicted, kept = block_means(prediction, valid, size=size)
    true, _ = block_means(reference, valid, size=size)
    return height_errors(predicted, true, kept)


def _block_sums(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sums over blocks (y, x), the last ones filled up with zeros."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % size), (0, -columns % size)))
    summed: NDArray[np.float64] = padded.reshape(
        padded.shape[0] // size, size, padded.shape[1] // size, size
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
