from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from osteon.settings import load_settings


def test_variables_win_over_files_and_arguments_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "OSTEON_S3_SECRET_KEY").write_text("from-file")
    (tmp_path / "OSTEON_S3_BUCKET").write_text("from-file")
    monkeypatch.setenv("OSTEON_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("OSTEON_S3_BUCKET", "from-variable")
    settings = load_settings(model_name="from-argument")
    assert settings.s3_secret_key.get_secret_value() == "from-file"
    assert settings.s3_bucket == "from-variable"
    assert settings.model_name == "from-argument"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTEON_S3_SECRET_KEY", "hush")
    assert "hush" not in repr(load_settings())


def test_recipients_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTEON_MAIL_TO", "a@example.org, b@example.org")
    assert load_settings().mail_to == ["a@example.org", "b@example.org"]


def test_a_wrong_value_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTEON_TRAIN_SHARE", "60")
    with pytest.raises(ValidationError, match="train_share"):
        load_settings()


@pytest.mark.parametrize(
    ("old", "name", "values"),
    [
        ("RIVAL_SHARE", "baseline_share", (0.3, 0.4, 0.5)),
        ("RIVAL_LEAST", "min_baseline_images", (61, 62, 63)),
        ("ASK_MOST", "max_questions", (7, 8, 9)),
    ],
)
def test_the_old_name_of_a_variable_is_still_read_and_the_new_one_wins(
    old: str, name: str, values: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_old_name, by_name, by_argument = values
    monkeypatch.setenv(f"OSTEON_{old}", str(by_old_name))
    assert getattr(load_settings(), name) == by_old_name
    monkeypatch.setenv(f"OSTEON_{name.upper()}", str(by_name))
    assert getattr(load_settings(), name) == by_name
    assert getattr(load_settings(**{name: by_argument}), name) == by_argument
