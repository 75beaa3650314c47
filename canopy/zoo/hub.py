"""Models on the Hugging Face Hub: configuration and safetensors, never pickles, never code."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy.errors import FetchError, ModelError
from canopy.zoo.cache import (
    cached,
    holds,
    hub_folder,
    record_revision,
    recorded_revision,
    writing_alone,
)
from canopy.zoo.entries import ZOO, HubRepository
from canopy.zoo.licence import require_licence

if TYPE_CHECKING:
    from canopy.zoo.entries import ZooEntry
    from geo.downloads.transfer import Progress

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS = "*.safetensors"
TAKEN = (CONFIG_FILE, "preprocessor_config.json", WEIGHTS)
"""All that is ever taken from the Hub."""

_REFERENCE = re.compile(
    r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w./-]*))?", re.ASCII
)


def fetch_repository(
    entry: ZooEntry,
    source: HubRepository,
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of a released model that lives on the Hub.

    The first commit that is fetched is recorded and stays the one in use.

    Raises:
        ModelError: the licence was not accepted, or the Hub refuses or cannot be reached.
    """
    _refuse_other_files(source)
    if folder := cached(entry):
        return folder
    require_licence(entry, accept=accept_licence)
    with writing_alone(entry) as home:
        if folder := cached(entry):
            return folder
        revision = recorded_revision(entry, source) or source.revision
        request = _Request(
            source=source, revision=revision, asked_as=entry.name, by_hand=home, progress=progress
        )
        folder = _download(request)
        record_revision(home, source, folder.name)
    return folder


def fetch_reference(
    reference: str,
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
    endpoint: str | None = None,
) -> Path:
    """Return the folder of a model on the Hub.

    Args:
        reference: ``OWNER/REPO`` or ``OWNER/REPO@REVISION``. Without a revision the Hub is asked
            for the newest each time; where it cannot be reached the last one fetched is taken.
        accept_licence: whether the user accepts the licence; recorded where the zoo knows it.
        progress: told the bytes that are here and all bytes, where these are known.
        endpoint: address of another Hub.

    Raises:
        ModelError: the reference is malformed, the licence was not accepted, or the Hub refuses
            or cannot be reached.
    """
    found = _REFERENCE.fullmatch(reference)
    if not found or ".." in reference:
        msg = (
            f"model hf:{reference} could not be fetched (no repository has such a name): expected "
            "hf:OWNER/REPO or hf:OWNER/REPO@REVISION"
        )
        raise ModelError(msg)
    repo, revision = found.groups()
    _require_known_licence(repo, accept=accept_licence)
    source = HubRepository(repo=repo, revision=revision, files=TAKEN, endpoint=endpoint)
    return _download(
        _Request(source=source, revision=revision, asked_as=f"hf:{reference}", progress=progress)
    )


def _require_known_licence(repo: str, *, accept: bool) -> None:
    """Hold a repository of the zoo to the licence that the zoo knows, however it is asked for."""
    for entry in ZOO:
        known = entry.source.repo if isinstance(entry.source, HubRepository) else ""
        # The Hub does not tell capitals from small letters.
        if known.casefold() == repo.casefold():
            require_licence(entry, accept=accept)
            return
    logger.info("the licence of %s stands on its page", repo)


def _refuse_other_files(source: HubRepository) -> None:
    """Refuse to take what could run code.

    Raises:
        ModelError: an entry names such a file.
    """
    others = [name for name in source.files if not any(fnmatch(name, kind) for kind in TAKEN)]
    if others:
        msg = f"{source.repo}: {', '.join(others)} is not taken from the Hub, expected {TAKEN}"
        raise ModelError(msg)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What to ask the Hub for, and what to call it in a refusal."""

    source: HubRepository
    revision: str | None
    asked_as: str
    by_hand: Path | None = None
    progress: Progress | None = None


def _download(request: _Request) -> Path:
    """Return the local folder of a repository, fetched or completed.

    Raises:
        ModelError: the Hub refuses or cannot be reached, or the repository holds no such model.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow import, rarely needed

    source = request.source
    try:
        folder = snapshot_download(
            source.repo,
            revision=request.revision,
            cache_dir=hub_folder(),
            allow_patterns=list(source.files),
            endpoint=source.endpoint,
            tqdm_class=_quiet_bar(request.progress),
        )
    except Exception as error:  # the errors of its HTTP library differ from version to version
        raise FetchError(_refusal(request, error)) from error
    needed = HubRepository(
        repo=source.repo, files=(CONFIG_FILE, WEIGHTS) if source.files == TAKEN else source.files
    )
    if not holds(Path(folder), needed):
        msg = (
            f"{request.asked_as}: {source.repo} lacks some of {', '.join(needed.files)}: expected "
            "a model with its configuration; check the name, or give a folder by --model"
        )
        raise ModelError(msg)
    return Path(folder)


def _refusal(request: _Request, error: Exception) -> str:
    """Return one line: why the Hub gave nothing, and what to do."""
    source = request.source
    files = ", ".join(source.files)
    folder = request.by_hand or "a folder"
    by_hand = f"put {files} into {folder} and give it by --model"
    found, advice = _explain(source, error)
    return f"model {request.asked_as} could not be fetched ({found}): {advice}, or {by_hand}"


def _explain(source: HubRepository, error: Exception) -> tuple[str, str]:
    """Return what the Hub or the network did, and what to do about it."""
    from huggingface_hub import errors  # noqa: PLC0415 - slow import, rarely needed

    chain = _causes(error)
    status = next((code for cause in chain if (code := _status(cause))), None)
    if _any_is(chain, errors.GatedRepoError) or status == 403:  # noqa: PLR2004 - forbidden
        found = f"{source.repo} is gated and you are not let in"
        return found, f"accept its licence on {source.page}, log in with `hf auth login`, run again"
    if _any_is(chain, errors.RevisionNotFoundError):
        return f"{source.repo} has no such revision", f"choose one of {source.page}/tree/main"
    if _any_is(chain, errors.RepositoryNotFoundError) or status in {401, 404}:
        found = f"{source.repo} is not on the Hub, or not for you"
        return found, "check the name, and log in with `hf auth login` where it is private"
    if _any_is(chain, errors.HFValidationError):
        return "no repository has such a name", "expected OWNER/REPO"
    reason = next((line for cause in chain[::-1] for line in str(cause).splitlines() if line), "")
    return reason or type(error).__name__, "check the network and the room on the disk, run again"


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _any_is(chain: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in chain)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an answer that an error carries."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def _quiet_bar(progress: Progress | None) -> Any:  # noqa: ANN401 - a class that tqdm's users take
    """Return a progress bar that draws nothing and tells `progress` the bytes.

    Versions of the Hub's client differ in how many bars they make; the one that counts furthest
    is told, and what counts files is not.
    """
    from huggingface_hub import utils  # noqa: PLC0415 - slow import, rarely needed

    bar: Any = utils.tqdm  # type: ignore[attr-defined,unused-ignore]

    class QuietBar(bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            self.counts_bytes = kwargs.get("unit") == "B"
            self.bytes_done = kwargs.get("initial") or 0
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.bytes_done += n or 0
            if progress and self.counts_bytes and self.bytes_done > QuietBar.furthest:
                QuietBar.furthest = self.bytes_done
                progress(int(self.bytes_done), int(self.total) if self.total else None)

        furthest: float = 0

    return QuietBar
