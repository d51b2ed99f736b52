"""Kaggle and Roboflow: their real clients against local servers that speak the real protocols."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from osteon.errors import SourceError
from osteon.ingest import ingest
from osteon.lake import Lake
from osteon.settings import Settings, load_settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.base import Source
from osteon.sources.kaggle import KaggleConfig
from osteon.sources.roboflow import RoboflowConfig
from tests.runs import published_files
from tests.sources.publishers import KEY, USER, Publisher, archive, serve

RULES = {"part": {"folder": 1}, "fracture": {"folder": 2}}
LIVE = {name: os.environ.get(name, "") for name in ("OSTEON_KAGGLE_TOKEN", "OSTEON_ROBOFLOW_API_KEY")}
"""Accounts of the person who runs the tests, before the environment is cleaned."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with serve(Publisher(archive(12))) as state:
        yield state


@pytest.fixture
def account(settings: Settings, publisher: Publisher) -> Settings:
    change = {"kaggle_url": publisher.url, "kaggle_token": SecretStr(KEY), "http_timeout": 5.0}
    return settings.model_copy(
        update={**change, "roboflow_url": publisher.url, "roboflow_api_key": SecretStr(KEY), "export_timeout": 20.0}
    )


Open = Callable[..., Source]


def open_kaggle(settings: Settings, **more: object) -> Source:
    entry = {"kind": "kaggle", "name": "s", "licence": "CC0-1.0", "dataset": "owner/name", "labels": RULES}
    return KaggleConfig.model_validate({**entry, **more}).open(settings, Path())


def open_roboflow(settings: Settings, **more: object) -> Source:
    entry = {"kind": "roboflow", "name": "s", "licence": "CC0-1.0", "project": "owner/name", "format": "folder"}
    return RoboflowConfig.model_validate({**entry, "labels": RULES, **more}).open(settings, Path())


both = pytest.mark.parametrize("opened", [open_kaggle, open_roboflow])


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of them really."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@both
def test_it_gives_the_images_that_the_archive_gives(
    opened: Open, account: Settings, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(publisher.archive)
    entry = {"kind": "archive", "name": "s", "licence": "CC0-1.0", "location": str(tmp_path / "a.zip")}
    expected = ArchiveConfig.model_validate({**entry, "labels": RULES}).open(account, tmp_path)
    source = opened(account)
    assert list(source.fetch(source.latest_version())) == list(expected.fetch(expected.latest_version()))


@both
def test_another_data_set_under_the_same_name_is_another_version(opened: Open, account: Settings) -> None:
    names = {"dataset": "owner/other"} if opened is open_kaggle else {"project": "owner/other"}
    assert opened(account, version=1).latest_version() != opened(account, version=1, **names).latest_version()


def test_what_kaggle_finds_in_the_environment_is_not_used(account: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", KEY)
    nobody = account.model_copy(update={"kaggle_token": SecretStr("")})
    with pytest.raises(SourceError, match="log-in"):
        open_kaggle(nobody).latest_version()


def test_a_user_name_and_key_log_in_to_kaggle_as_well(account: Settings) -> None:
    change = {"kaggle_token": SecretStr(""), "kaggle_username": USER, "kaggle_key": SecretStr(KEY)}
    assert open_kaggle(account.model_copy(update=change)).latest_version().startswith("1-")


@both
def test_an_unchanged_version_costs_one_request_and_a_fixed_one_none(
    opened: Open, account: Settings, publisher: Publisher, lake: Lake
) -> None:
    first = ingest(account, lake, opened(account))
    assert first[1] == {"files": 12, "uploaded": 12, "refused": 0}
    assert not (account.state_dir / "downloads" / "s").exists(), "what is in the lake is kept there only"
    publisher.calls.clear()
    assert ingest(account, lake, opened(account)) == (first[0], {**first[1], "uploaded": 0})
    assert len(publisher.calls) == 1
    opened(account, version=1).latest_version()
    assert len(publisher.calls) == 1


@both
def test_ten_new_images_are_ten_uploads(opened: Open, account: Settings, publisher: Publisher, lake: Lake) -> None:
    ingest(account, lake, opened(account))
    publisher.archive, publisher.version = archive(22), 2
    assert ingest(account, lake, opened(account))[1] == {"files": 22, "uploaded": 10, "refused": 0}


@both
@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_cut_at_random_points_ends_with_the_same_manifest(
    opened: Open, ranges: bool, account: Settings, publisher: Publisher, lake: Lake
) -> None:
    whole = lake.get_table(ingest(account, lake, opened(account))[0])
    publisher.archive = archive(12, random.Random(0).randbytes(40_000))
    publisher.ranges, publisher.cuts = ranges, 20 if ranges else 4
    publisher.version, publisher.calls = 2, []
    cut = lake.get_table(ingest(account, lake, opened(account))[0])
    assert publisher.cuts == 0 and publisher.downloads == (21 if ranges else 5)
    publisher.version = 3
    again = lake.get_table(ingest(account, lake, opened(account))[0])
    assert cut.drop(columns="source_version").equals(again.drop(columns="source_version"))
    published = {*whole["sha256"], *cut["sha256"]}
    assert {key.rsplit("/", 1)[1] for key in lake.keys("images/")} == published, "no orphan"


@both
@pytest.mark.parametrize("ignores_conditions", [False, True])
def test_what_changed_between_two_tries_is_fetched_anew(
    opened: Open,
    ignores_conditions: bool,
    account: Settings,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher.ignores_conditions = ignores_conditions
    publisher.archive = archive(12, random.Random(0).randbytes(40_000))
    publisher.cuts = 1

    def republish(seconds: float) -> None:
        publisher.archive = archive(13, random.Random(1).randbytes(40_000))

    monkeypatch.setattr(time, "sleep", republish)
    source = opened(account)
    assert len(list(source.fetch(source.latest_version()))) == 13


@both
def test_a_wrong_checksum_and_an_expired_link_ask_for_another(
    opened: Open, account: Settings, publisher: Publisher
) -> None:
    publisher.wrong_checksums, publisher.expired_links = 1, 1
    source = opened(account)
    assert len(list(source.fetch(source.latest_version()))) == 12
    assert publisher.downloads == 3
    publisher.wrong_checksums = 99
    with pytest.raises(SourceError, match=r"6 times in a row .*MD5"):
        source.fetch("2-x")


@both
def test_a_rate_limit_is_waited_out_as_long_as_the_server_asks(
    opened: Open, account: Settings, publisher: Publisher, short_pauses: list[float]
) -> None:
    publisher.refuse = [(429, {"Retry-After": "7"}), (503, {}), (500, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})]
    assert opened(account).latest_version().startswith("1-")
    assert short_pauses[0] == 7 and 0 < short_pauses[1] < 5 and short_pauses[2] == 0
    publisher.refuse = [(503, {})] * 6
    with pytest.raises(SourceError, match=r"6 times in a row .*503"):
        opened(account).latest_version()


@both
@pytest.mark.parametrize(("status", "meaning"), [(401, "log-in"), (403, "refused"), (404, "not there")])
def test_a_refusal_ends_it_at_once_and_names_the_setting(
    opened: Open, status: int, meaning: str, account: Settings, publisher: Publisher
) -> None:
    publisher.refuse = [(status, {})]
    with pytest.raises(SourceError, match=rf"{meaning}.*OSTEON_(KAGGLE|ROBOFLOW)") as caught:
        opened(account).latest_version()
    assert publisher.api_calls == 1 and KEY not in str(caught.value)


@both
def test_no_error_and_no_log_line_holds_a_secret(
    opened: Open, account: Settings, publisher: Publisher, caplog: pytest.LogCaptureFixture, capfd: object
) -> None:
    caplog.set_level(logging.INFO)
    dead = account.model_copy(update={"kaggle_url": "http://127.0.0.1:9", "roboflow_url": "http://127.0.0.1:9"})
    publisher.expired_links = 99
    for settings in (dead, account):
        with pytest.raises(SourceError) as caught:
            opened(settings).fetch("1-x")
        chain: BaseException | None = caught.value
        while chain is not None:
            assert KEY not in str(chain) + repr(chain)
            chain = chain.__cause__ or chain.__context__
    assert KEY not in caplog.text


def test_an_export_that_is_not_ready_is_waited_for(account: Settings, publisher: Publisher) -> None:
    publisher.pending = 5
    assert len(list(open_roboflow(account).fetch("1-folder-x"))) == 12
    publisher.pending = 10**6
    hurried = account.model_copy(update={"export_timeout": 0.05})
    with pytest.raises(SourceError, match="OSTEON_EXPORT_TIMEOUT"):
        open_roboflow(hurried).fetch("2-folder-x")


def test_an_answer_that_is_not_understood_is_told(account: Settings, publisher: Publisher) -> None:
    publisher.version = 0
    with pytest.raises(SourceError, match="no version yet"):
        open_roboflow(account).latest_version()
    publisher.version = "newest"  # type: ignore[assignment]
    with pytest.raises(SourceError, match="no version of owner/name"):
        open_kaggle(account).latest_version()
    publisher.refuse = [(200, {})]
    with pytest.raises(SourceError, match="not understood"):
        open_roboflow(account).latest_version()


def test_roboflow_without_a_key_names_the_setting(account: Settings) -> None:
    with pytest.raises(SourceError, match="OSTEON_ROBOFLOW_API_KEY"):
        open_roboflow(account.model_copy(update={"roboflow_api_key": SecretStr("")}))


@pytest.mark.skipif(not LIVE["OSTEON_KAGGLE_TOKEN"], reason="OSTEON_KAGGLE_TOKEN is not set")
def test_the_real_kaggle(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path, kaggle_token=LIVE["OSTEON_KAGGLE_TOKEN"])
    source = open_kaggle(settings, dataset="vuppalaadithyasairam/bone-fracture-detection-using-xrays")
    assert any(file.data for file in published_files(source))


@pytest.mark.skipif(not LIVE["OSTEON_ROBOFLOW_API_KEY"], reason="OSTEON_ROBOFLOW_API_KEY is not set")
def test_the_real_roboflow(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path, roboflow_api_key=LIVE["OSTEON_ROBOFLOW_API_KEY"])
    source = open_roboflow(settings, project="classspinemaxnormalvfrac/classfrxnormal", version=3)
    assert any(file.data for file in published_files(source))
