"""From the Hub come configuration and safetensors, at one commit, under an accepted licence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_hub import NEW, OLD, small_hub
from small_zoo import entry_of

from canopy.errors import ModelError
from canopy.zoo import HubRepository, cached, fetch, fetch_reference, find_entry
from canopy.zoo.cache import record_acceptance

WEIGHTS = bytes(range(256)) * 4000
FILES = {
    "config.json": b"{}",
    "preprocessor_config.json": b"[]",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle",
    "modeling.py": b"raise SystemExit",
    "README.md": b"# Read me",
}
TAKEN = ("config.json", "model.safetensors", "preprocessor_config.json")


@pytest.fixture
def hub():
    with small_hub(dict(FILES)) as hub:
        yield hub


def entry_on(hub, **choices):
    files = choices.pop("files", TAKEN)
    revision = choices.pop("revision", None)
    source = HubRepository(repo=hub.repo, revision=revision, files=files, endpoint=hub.endpoint)
    return entry_of("", source=source, **choices)


def refused(entry, said):
    with pytest.raises(ModelError, match=said) as error:
        fetch(entry)
    assert "\n" not in str(error.value)
    assert cached(entry) is None
    return str(error.value)


def refused_reference(reference, said, **choices):
    with pytest.raises(ModelError, match=said) as error:
        fetch_reference(reference, **choices)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- a model of the zoo -------------------------------------------------------


def test_its_files_come_and_nothing_else(hub, cache):
    told = []
    entry = entry_on(hub)
    folder = fetch(entry, progress=lambda done, total: told.append((done, total)))
    assert folder == cached(entry)
    assert folder.is_relative_to(cache)
    assert sorted(path.name for path in folder.iterdir()) == sorted(TAKEN)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(hub.given) == sorted(TAKEN)
    assert told[-1][0] == sum(len(FILES[name]) for name in TAKEN)


def test_it_draws_no_bars(hub, capfd):
    fetch(entry_on(hub))
    said = capfd.readouterr()
    assert said.out == said.err == ""


def test_what_is_cached_is_not_asked_for_again(hub):
    folder = fetch(entry_on(hub))
    before = hub.asked
    assert fetch(entry_on(hub)) == folder
    assert hub.asked == before


def test_the_first_commit_stays_the_one_in_use(hub):
    hub.main = OLD
    folder = fetch(entry_on(hub))
    assert folder.name == OLD
    hub.main = NEW
    (folder / "config.json").unlink()
    assert cached(entry_on(hub)) is None
    assert fetch(entry_on(hub)) == folder
    assert (folder / "config.json").is_file()


def test_a_named_revision_is_taken(hub):
    assert fetch(entry_on(hub, revision="v1")).name == OLD
    assert fetch(entry_on(hub)).name == NEW


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("refusal", [(403, "GatedRepo"), (401, "GatedRepo"), (403, "")])
def test_a_gated_repository_says_what_to_do(hub, cache, refusal, hidden):
    hub.refusal, hub.hidden = refusal, hidden
    message = refused(entry_on(hub), "is gated and you are not let in")
    assert f"accept its licence on {hub.endpoint}/forest/model" in message
    assert "`hf auth login`" in message
    place = cache / "models" / "chm-test"
    assert f"put {', '.join(TAKEN)} into {place} and give it by --model" in message
    hub.refusal = None
    assert fetch(entry_on(hub)) == cached(entry_on(hub))


def test_a_repository_that_is_not_there_is_one_line(hub):
    hub.refusal, hub.hidden = (404, "RepoNotFound"), True
    refused(entry_on(hub), "forest/model is not on the Hub, or not for you.*check the name")


def test_a_revision_that_is_not_there_is_one_line(hub):
    refused(entry_on(hub, revision="v9"), "has no such revision")


def test_without_a_network_it_says_what_to_put_where(cache):
    with small_hub(dict(FILES)) as hub:
        entry = entry_on(hub)
    message = refused(entry, "model chm-test could not be fetched .*check the network")
    assert str(cache / "models" / "chm-test") in message


def test_a_repository_that_lacks_files_is_refused(hub):
    del hub.files["config.json"]
    refused(entry_on(hub), "forest/model lacks some of config.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling.py", "*", "sub/config.json"])
def test_an_entry_cannot_name_pickles_or_code(hub, name):
    refused(entry_on(hub, files=(*TAKEN, name)), "is not taken from the Hub")
    assert hub.asked == 0


def test_a_restricted_one_asks_for_acceptance_once(hub):
    entry = entry_on(hub, restricted=True)
    refused(entry, "was not accepted yet")
    assert hub.asked == 0
    folder = fetch(entry, accept_licence=True)
    assert fetch(entry) == folder
    assert fetch(replace(entry, source=replace(entry.source, revision="v1"))).name == OLD


# --- any other repository -----------------------------------------------------


def test_a_reference_takes_the_newest_or_the_revision(hub):
    hub.main = OLD
    assert fetch_reference("forest/model", endpoint=hub.endpoint).name == OLD
    hub.main = NEW
    folder = fetch_reference("forest/model", endpoint=hub.endpoint)
    assert folder.name == NEW
    assert sorted(path.name for path in folder.iterdir()) == sorted(TAKEN)
    assert fetch_reference("forest/model@v1", endpoint=hub.endpoint).name == OLD
    assert not {"pytorch_model.bin", "modeling.py"} & set(hub.given)


def test_without_a_network_the_last_one_fetched_is_taken():
    with small_hub(dict(FILES)) as hub:
        folder = fetch_reference("forest/model", endpoint=hub.endpoint)
    assert fetch_reference("forest/model", endpoint=hub.endpoint) == folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_reference_to_no_model_is_refused(hub, name):
    del hub.files[name]
    refused_reference("forest/model", "lacks some of config.json", endpoint=hub.endpoint)


def test_a_reference_to_a_gated_repository_says_what_to_do(hub):
    hub.refusal = (403, "GatedRepo")
    message = refused_reference("forest/model", "model hf:forest/model", endpoint=hub.endpoint)
    assert "into a folder and give it by --model" in message
    assert "hf auth login" in message


def test_a_reference_to_nothing_is_one_line(hub):
    refused_reference("forest/other", "is not on the Hub", endpoint=hub.endpoint)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "model",
        "not a name!",
        "a/b/c",
        "../x/y",
        "a/..",
        "a/b@",
        "a/b@../../etc",
        "a/b@v1 ",
        "a/b@x/../y",
        "https://a/b",
        "a/b\n",
    ],
)
def test_a_malformed_reference_is_refused(reference):
    with pytest.raises(ModelError, match=r"could not be fetched .*expected hf:OWNER/REPO"):
        fetch_reference(reference)


@pytest.mark.parametrize("change", [str, str.upper])
def test_a_restricted_repository_is_restricted_however_it_is_asked_for(hub, change):
    entry = find_entry("chmv2")
    hub.repo = change(entry.source.repo)
    refused_reference(hub.repo, "was not accepted yet", endpoint=hub.endpoint)
    refused_reference(hub.repo + "@v1", "was not accepted yet", endpoint=hub.endpoint)
    assert hub.asked == 0
    record_acceptance(entry)
    assert fetch_reference(hub.repo, endpoint=hub.endpoint).name == NEW
