"""Accounts at publishers: from settings, else from Airflow's connections, and masked in every case."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from osteon.settings import load_settings
from osteon.sources.kaggle import KaggleConfig

Connect = Callable[..., None]


@pytest.fixture
def masked(airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What Airflow was told to mask."""
    from osteon_airflow import stages

    found: set[str] = set()
    monkeypatch.setattr(stages, "mask_secret", found.add)
    return found


@pytest.fixture
def connect(airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Gives Airflow connections, and no others."""

    def give(**connections: dict[str, Any]) -> None:
        for name in ("kaggle_default", "roboflow_default", "shelf_default"):
            monkeypatch.delenv(f"AIRFLOW_CONN_{name.upper()}", raising=False)
        for name, told in connections.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "generic", **told}))

    return give


def test_connections_serve_where_settings_are_empty(masked: set[str], connect: Connect) -> None:
    from osteon_airflow.stages import credentials

    connect()
    assert credentials() == {} and masked == set()
    connect(kaggle_default={"password": "token"}, roboflow_default={"password": "key"})
    assert credentials() == {"kaggle_token": "token", "roboflow_api_key": "key"} and masked == {"token", "key"}
    connect(kaggle_default={"login": "ann", "password": "secret"})
    assert credentials() == {"kaggle_username": "ann", "kaggle_key": "secret"} and "ann" not in masked


def test_settings_win_over_connections(masked: set[str], connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    from osteon_airflow.stages import credentials

    connect(kaggle_default={"login": "ann", "password": "secret"})
    monkeypatch.setenv("OSTEON_KAGGLE_TOKEN", "mine")
    assert credentials() == {"kaggle_token": "mine"} and masked == {"mine"}


def test_a_publisher_without_settings_of_its_own_has_an_account_too(
    masked: set[str], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osteon.sources.base import Credentials
    from osteon_airflow.stages import credentials

    monkeypatch.setattr(KaggleConfig, "credentials", Credentials("shelf_default", token="shelf_token"))
    connect(shelf_default={"password": "film"})
    monkeypatch.setenv("OSTEON_CREDENTIALS", json.dumps({"other_token": "x-ray"}))
    found = credentials()
    assert json.loads(found["credentials"]) == {"shelf_token": "film", "other_token": "x-ray"}
    assert masked == {"film", "x-ray"}
    settings = load_settings(**found)
    assert (settings.secret("shelf_token"), settings.secret("kaggle_token")) == ("film", "")
    monkeypatch.setenv("OSTEON_CREDENTIALS", found["credentials"])
    assert load_settings().secret("shelf_token") == "film", "as `osteon doctor` gets them"
    assert "film" not in repr(load_settings())


def test_a_mistake_in_credentials_does_not_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ('{"shelf_token": {"film": 1}}', '{"film"', '["film"]'):
        monkeypatch.setenv("OSTEON_CREDENTIALS", text)
        with pytest.raises(ValueError, match="credentials") as error:
            load_settings()
        assert "film" not in str(error.value).replace("credentials.shelf_token", "")
