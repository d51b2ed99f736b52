"""A source on Kaggle: versions and links by Kaggle's own client, the archive by our resumable download."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin

import requests
from pydantic import Field
from requests.auth import HTTPBasicAuth

from osteon.errors import SourceError
from osteon.settings import SourceSettings
from osteon.sources.base import Credentials, PublishedFile
from osteon.sources.notes import Note
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.registry import publisher
from osteon.sources.transfer import call_api, download, raise_for_status

if TYPE_CHECKING:
    from kagglesdk.datasets.services.dataset_api_service import DatasetApiClient

REMEDY = (
    "check the data set's name, and set OSTEON_KAGGLE_TOKEN (or OSTEON_KAGGLE_USERNAME and OSTEON_KAGGLE_KEY), or "
    "Airflow's connection `kaggle_default`, to an account that has accepted the data set's terms"
)


@publisher
class KaggleConfig(LabelledConfig):
    """A `kaggle` entry of a sources file."""

    credentials = Credentials("kaggle_default", token="kaggle_token", username="kaggle_username", key="kaggle_key")  # noqa: S106 - names of settings
    kind: Literal["kaggle"]
    dataset: str = Field(pattern=r"^[\w-]+/[\w-]+$")
    """`owner/name`, as in the data set's address."""
    version: int | None = Field(None, ge=1)
    """A fixed version; the newest where it is missing."""

    def open(self, settings: SourceSettings, folder: Path) -> KaggleSource:
        return KaggleSource(self, settings)


@dataclass(frozen=True)
class KaggleSource:
    """A data set on Kaggle. Public ones need no credentials, unless their owner wants terms accepted."""

    config: KaggleConfig
    settings: SourceSettings

    def latest_version(self) -> str:
        """`VERSION-RULES`: Kaggle's number, and a digest of the rules that label it. Costs one request, or none."""
        number = self.config.version
        if number is None:
            number = call_api(self._who, self._ask_version)
            if not isinstance(number, int) or number < 1:
                raise SourceError(
                    f"source {self.config.name}: Kaggle gives no version of {self.config.dataset}: {REMEDY}"
                )
        return f"{number}-{Reader(self.config, self.settings).digest()}"

    def fetch(self, version: str) -> Iterable[PublishedFile | Note]:
        """Every file of the version, in the order of paths. Raises `SourceError`."""
        number = int(version.split("-")[0])

        def link() -> str:
            return call_api(self._who, lambda: self._ask_link(number))

        path = download(self.config.name, version, link, self.settings, signed=True)
        return Reader(self.config, self.settings).files(path)

    @property
    def _who(self) -> str:
        return f"Kaggle ({self.config.dataset})"

    def _ask_version(self) -> Any:
        """The number of the newest version."""
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

        request = ApiGetDatasetRequest()
        request.owner_slug, request.dataset_slug = self.config.dataset.split("/")
        return self._client().get_dataset(request).current_version_number

    def _ask_link(self, number: int) -> str:
        """A fresh signed link to a version's archive."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = self.config.dataset.split("/")
        request.dataset_version_number = number
        answer = self._client().download_dataset(request)
        return str(urljoin(answer.url, answer.headers["Location"]))

    def _client(self) -> DatasetApiClient:
        from kagglesdk.datasets.services.dataset_api_service import DatasetApiClient

        return DatasetApiClient(_Connection(self.settings, self._who))


@dataclass(frozen=True)
class _Connection:
    """Carries the requests of Kaggle's generated clients.

    It stands in for `kagglesdk.KaggleHttpClient`. That one, in 0.1.38, has no time limit and no other address, looks
    for accounts in the home folder, and would download what a link leads to.
    """

    settings: SourceSettings
    who: str

    def call(self, service_name: str, request_name: str, request: Any, response_type: Any) -> Any:
        """Send a request. Returns what `response_type` makes of the answer, of a redirect the answer itself."""
        from kagglehub.clients import get_user_agent

        with requests.post(
            f"{self.settings.kaggle_url}/v1/{service_name}/{request_name}",
            json=request.to_dict(),
            headers={"User-Agent": get_user_agent()},
            auth=_login(self.settings),
            timeout=self.settings.http_timeout,
            allow_redirects=False,
            stream=True,
        ) as answer:
            raise_for_status(answer, self.who, REMEDY)
            return response_type.prepare_from(answer)


def _login(settings: SourceSettings) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Puts the account into a request. Without one the request stays as it is: requests would ask `~/.netrc`."""
    from kagglesdk.kaggle_http_client import KaggleHttpClient

    if token := settings.kaggle_token.get_secret_value():
        bearer: Callable[[requests.PreparedRequest], requests.PreparedRequest] = KaggleHttpClient.BearerAuth(token)
        return bearer
    if key := settings.kaggle_key.get_secret_value():
        return HTTPBasicAuth(settings.kaggle_username, key)
    return lambda request: request
