"""Space lidar over a height map: footprints in, a smooth factor field and corrected heights out.

Two halves that meet in :class:`~canopy.correction.applying.FactorField` alone: how a field comes to
be (`footprints`, `footprint_pairs`, `track_shifts`, `factor_field`, `folds`, `calibration`), and
what is done with it (`applying`, `outputs`, `report`, `pictures`). `correct` joins them.
"""
