"""A source on Kaggle: versions and links by Kaggle's own client, the archive by our resumable download."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urljoin

import requests
from pydantic import Field
from requests.adapters import HTTPAdapter

from osteon.errors import SourceError
from osteon.settings import Settings
from osteon.sources.base import Credentials, PublishedFile
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.registry import publisher
from osteon.sources.transfer import download, enquire, judge

REMEDY = (
    "check the data set's name, and set OSTEON_KAGGLE_TOKEN (or OSTEON_KAGGLE_USERNAME and OSTEON_KAGGLE_KEY), or "
    "Airflow's connection `kaggle_default`, to an account that has accepted the data set's terms"
)
Result = TypeVar("Result")


@publisher
class KaggleConfig(LabelledConfig):
    """A `kaggle` entry of a sources file."""

    credentials = Credentials("kaggle_default", token="kaggle_token", username="kaggle_username", key="kaggle_key")
    kind: Literal["kaggle"]
    dataset: str = Field(pattern=r"^[\w-]+/[\w-]+$")
    """`owner/name`, as in the data set's address."""
    version: int | None = Field(None, ge=1)
    """A fixed version; the newest where it is missing."""

    def open(self, settings: Settings, folder: Path) -> KaggleSource:
        return KaggleSource(self, settings)


@dataclass(frozen=True)
class KaggleSource:
    """A data set on Kaggle. Public ones need no credentials, unless their owner wants terms accepted."""

    config: KaggleConfig
    settings: Settings

    def latest_version(self) -> str:
        """`VERSION-RULES`: Kaggle's number, and a digest of the rules that label it. Costs one request, or none."""
        number = self.config.version
        if number is None:
            from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

            number = self._ask(ApiGetDatasetRequest(), lambda api, ask: api.get_dataset(ask).current_version_number)
            if not isinstance(number, int) or number < 1:
                raise SourceError(
                    f"source {self.config.name}: Kaggle gives no version of {self.config.dataset}: {REMEDY}"
                )
        return f"{number}-{Reader(self.config, self.settings).digest()}"

    def fetch(self, version: str) -> Iterable[PublishedFile]:
        """Every file of the version, in the order of paths. Raises `SourceError`."""
        number = int(version.split("-")[0])
        path = download(self.config.name, version, lambda: self._link(number), self.settings, signed=True)
        return Reader(self.config, self.settings).zip_files(path)

    def _link(self, number: int) -> str:
        """A fresh signed link to the version's archive."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.dataset_version_number = number

        def redirected(api: Any, ask: Any) -> str:
            try:
                api.download_dataset(ask)
            except requests.TooManyRedirects as error:  # not followed: only where it leads is wanted
                assert error.response is not None
                return urljoin(error.response.url, error.response.headers["Location"])
            raise ValueError("Kaggle gave no link")

        return self._ask(request, redirected)

    def _ask(self, request: Any, call: Callable[[Any, Any], Result]) -> Result:
        """One call of Kaggle's client about this data set, tried again where that helps."""
        from kagglehub.clients import get_user_agent
        from kagglesdk.kaggle_client import KaggleClient
        from kagglesdk.kaggle_env import KaggleEnv

        settings, who = self.settings, f"Kaggle ({self.config.dataset})"
        request.owner_slug, request.dataset_slug = self.config.dataset.split("/")

        def ask() -> Result:
            client = KaggleClient(
                KaggleEnv.PROD,
                user_agent=get_user_agent(),
            )
            with client:
                # kagglesdk 0.1.38 knows no time limits and no other address, and would download what it is led to
                http = client.http_client()
                http._endpoint, session = settings.kaggle_url, http._session
                session.auth = self._login(http)  # not what kagglesdk finds in the home folder
                session.max_redirects = 0
                for scheme in ("https://", "http://"):
                    session.mount(scheme, _Judging(who, settings.http_timeout))
                return call(client.datasets.dataset_api_client, request)

        return enquire(who, ask)

    def _login(self, http: Any) -> Any:
        settings = self.settings
        if token := settings.kaggle_token.get_secret_value():
            return http.BearerAuth(token)
        key = settings.kaggle_key.get_secret_value()
        return (settings.kaggle_username, key) if key else None


class _Judging(HTTPAdapter):
    """Gives up a request after `seconds` without an answer, and judges the answer before the client does."""

    def __init__(self, who: str, seconds: float) -> None:
        super().__init__()
        self.who, self.seconds = who, seconds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(request, *args, **{**kwargs, "timeout": self.seconds})
        judge(answer, self.who, REMEDY)
        return answer
