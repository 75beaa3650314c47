"""What the user of a correction chooses."""

from __future__ import annotations

from dataclasses import dataclass

from canopy.errors import SettingsError

LEAST_FACTOR = 0.34
"""Below a third, heights that fade in would no longer keep their order; see `applying`."""


@dataclass(frozen=True, kw_only=True)
class CorrectionSettings:
    """How a height map is corrected by footprints.

    Attributes:
        percentile: of the map within a footprint, set against the relative height (RH) of the same
            rank. 98 by default: see docs/correction.md for why not 95.
        rh_column: column of relative heights [m]; None takes that of the rank, such as rh98.
        filters: whether quality_flag, degrade_flag and sensitivity leave shots out.
        least_sensitivity: shots with less are left out.
        full_power: whether shots of coverage beams are left out, which see the ground under dense
            canopy less often.
        least_height_m: shots are used where the geometric mean of RH and map is as high [m].
        keep_below_m: heights up to it are never changed [m]; from three times it on, heights take
            the whole factor.
        limits: least and greatest factor.
        resolution_m: side of a cell of the factor field [true m].
        bandwidth_m: standard deviation of the kernel that smooths the field [true m]; None chooses
            one on the folds.
        max_shift_m: farthest shift of a track that is looked for [true m]; 0 looks for none.
        shift_step_m: step of that search [true m].
        piece_m: tracks are cut into pieces of that length [true m], each with its own shift.
        fewest: with fewer usable shots the map is left as it is.
        least_change: where the factors differ from 1 by less in the mean, the map is left as it is:
            RH and the percentile of a true map differ by some per cent themselves.
        folds: how many folds the ground is dealt into.
        block_m: side of the blocks of ground that are dealt [true m]; None for one by which shots
            kept aside lie as far from others as the map does from shots.
        seed: of the dealing.
        stac: whether a STAC item is written.
        preview: whether a picture of the map before and after is drawn.
        overwrite: whether files that stand there may be replaced.
    """

    percentile: float = 98.0
    rh_column: str | None = None
    filters: bool = True
    least_sensitivity: float = 0.9
    full_power: bool = False
    least_height_m: float = 3.0
    keep_below_m: float = 1.0
    limits: tuple[float, float] = (0.5, 2.0)
    resolution_m: float = 50.0
    bandwidth_m: float | None = None
    max_shift_m: float = 20.0
    shift_step_m: float = 4.0
    piece_m: float = 5000.0
    fewest: int = 30
    least_change: float = 0.05
    folds: int = 5
    block_m: float | None = None
    seed: int = 0
    stac: bool = True
    preview: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: as said.
        """
        low, high = self.limits
        reach, step = self.max_shift_m, self.shift_step_m
        checks = (
            ("percentile", self.percentile, 0 < self.percentile <= 100, "above 0 up to 100"),  # noqa: PLR2004
            ("limits", low, LEAST_FACTOR <= low < 1, f"a least factor of {LEAST_FACTOR:g} to 1"),
            ("limits", high, 1 < high <= 10, "a greatest factor of 1 to 10"),  # noqa: PLR2004
            ("resolution", self.resolution_m, self.resolution_m > 0, "metres above 0"),
            ("bandwidth", self.bandwidth_m, (self.bandwidth_m or 1) > 0, "metres above 0, or auto"),
            ("max-shift", reach, 0 <= reach <= 100, "0 to 100 m"),  # noqa: PLR2004
            ("shift-step", step, step >= 1, "1 m or more"),
            ("max-shift", reach, reach == 0 or reach >= 2 * step, "0, or two steps or more"),
            ("piece", self.piece_m, self.piece_m > 0, "metres above 0"),
            ("keep-below", self.keep_below_m, self.keep_below_m >= 0, "0 m or more"),
            ("least-height", self.least_height_m, self.least_height_m >= 1, "1 m or more"),
            ("least-shots", self.fewest, self.fewest >= 10, "10 shots or more"),  # noqa: PLR2004
            ("least-change", self.least_change, 0 <= self.least_change < 1, "a share from 0 to 1"),
            ("folds", self.folds, self.folds >= 3, "3 or more"),  # noqa: PLR2004
            ("block", self.block_m, (self.block_m or 1) > 0, "metres above 0, or auto"),
        )
        for name, found, fine, expected in checks:
            if not fine:
                msg = f"--{name} {found}: expected {expected}"
                raise SettingsError(msg)
