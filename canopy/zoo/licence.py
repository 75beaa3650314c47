"""The licence of released weights: named before they are fetched, accepted where it restricts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from canopy.errors import ModelError
from canopy.zoo.cache import is_accepted, record_acceptance

if TYPE_CHECKING:
    from canopy.zoo.entries import ZooEntry

logger = logging.getLogger(__name__)


def require_licence(entry: ZooEntry, *, accept: bool) -> None:
    """Name the licence of a model and, where it restricts the use, ask for its acceptance.

    An acceptance is recorded in the cache and holds as long as the licence stays the same.

    Args:
        entry: the model that is about to be fetched.
        accept: whether the user accepts the licence now.

    Raises:
        ModelError: the licence restricts the use and was never accepted.
    """
    logger.info("%s is licensed under %s: %s", entry.name, entry.licence, entry.licence_url)
    if not entry.restricted:
        return
    if accept:
        record_acceptance(entry)
    elif not is_accepted(entry):
        msg = (
            f"{entry.name} comes under the licence {entry.licence}, which restricts its use and "
            f"was not accepted yet: read it at {entry.licence_url} and, if you accept it, run "
            f"`canopy models fetch {entry.name} --accept-licence`"
        )
        raise ModelError(msg)
