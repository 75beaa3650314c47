"""How a run over cells is spread, and how often a cell is tried."""

from __future__ import annotations

from dataclasses import dataclass

from canopy.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run over cells is spread, and how often a cell is tried.

    Attributes:
        workers: processes of a local cluster; 0 or None for none: cells are then made one by one in
            this process, or by `scheduler`.
        threads_per_worker: cells that a worker has in hand at once, so that the next one is read
            while the network runs over this one.
        scheduler: address of a running Dask scheduler, ``tcp://host:port``, instead of a local
            cluster.
        gpus: CUDA devices of this machine that the workers of a local cluster use, one each.
        retries: tries of a cell after its first.
        backoff_s: wait before a cell's second try [s], doubled before each further one.
        ahead: cells given to the cluster for each thread of its workers, the running one included.
        connect_timeout_s: how long `scheduler` may take to answer [s].
    """

    workers: int | None = None
    threads_per_worker: int = 2
    scheduler: str | None = None
    gpus: int = 0
    retries: int = 3
    backoff_s: float = 2.0
    ahead: int = 2
    connect_timeout_s: float = 15.0

    @property
    def starts_cluster(self) -> bool:
        """Whether worker processes are started on this machine."""
        return bool(self.workers or self.gpus)

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: a number is out of range, or two settings contradict each other.
        """
        for name, least in (
            ("workers", 0),
            ("retries", 0),
            ("threads_per_worker", 1),
            ("ahead", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                msg = f"{name} {value}: expected a whole number, at least {least}"
                raise SettingsError(msg)
        if not self.backoff_s >= 0:
            msg = f"backoff {self.backoff_s} s: expected 0 or more"
            raise SettingsError(msg)
        if self.workers and self.scheduler:
            msg = "--workers starts a cluster here and --scheduler uses another: give one of them"
            raise SettingsError(msg)
        if self.gpus and self.workers and self.workers > self.gpus:
            msg = (
                f"--workers {self.workers} with {self.gpus} GPUs: expected at most one worker a "
                f"GPU, --workers {self.gpus}"
            )
            raise SettingsError(msg)
