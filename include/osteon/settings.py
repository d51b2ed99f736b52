"""All settings of Osteon, typed, in parts. Values come from `OSTEON_*` variables or from a folder of secret files."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: the one that holds `include/`, `dags/` and `config/`."""


def _renamed(name: str, old: str) -> AliasChoices:
    """Variables of a setting that once had another name. The old one is read until version 0.3."""
    return AliasChoices(f"osteon_{name}", f"osteon_{old}")


class ForPods:
    """Marks a setting that decides what a training gives: a training pod has Airflow's value."""


class StateSettings(BaseModel):
    """Where Osteon may write on this machine."""

    state_dir: Path = Field(
        ROOT / ".osteon", description="folder for downloads, feature shards and the embedded services"
    )


class HttpSettings(BaseModel):
    """Requests over HTTP."""

    http_timeout: float = Field(60.0, gt=0, description="seconds without an answer before a request is given up")


class LakeSettings(HttpSettings):
    """The lake: any S3-compatible object store."""

    s3_endpoint: Annotated[str, ForPods] = Field(
        "http://127.0.0.1:9000", description="URL of the object store; http or https"
    )
    s3_access_key: str = Field("", description="name of the account at the object store")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="the account's key")
    s3_bucket: Annotated[str, ForPods] = Field("osteon", description="bucket that holds the lake")
    s3_region: Annotated[str, ForPods] = Field("us-east-1", description="region of the bucket")
    s3_ca: FilePath | None = Field(None, description="PEM file: who signs the store's certificate, if not a public CA")
    upload_workers: Annotated[int, ForPods] = Field(8, ge=1, le=64, description="parallel requests to the lake")


class RegistrySettings(BaseModel):
    """The model registry."""

    mlflow_url: str = Field("http://127.0.0.1:5000", description="URL of MLflow's server")
    mlflow_link: str = Field("", description="where people reach MLflow, for links in reports, if elsewhere")
    mlflow_experiment: str = Field("osteon", description="MLflow experiment that holds the trainings")
    model_name: str = Field("osteon", description="name of the registered model")


class MailSettings(BaseModel):
    """Mails, and the links in them."""

    mail_to: Annotated[list[str], NoDecode] = Field(["curator@localhost"], description="recipients, comma-separated")
    mail_when: Literal["news", "findings", "always"] = Field(
        "news", description="mail what is new, findings also when they are those of the run before, or after every run"
    )
    mail_from: str = Field("osteon@localhost", description="sender of the mails")
    airflow_url: str = Field("http://127.0.0.1:8080", description="where people reach Airflow, for links in mails")

    @field_validator("mail_to", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value


class FileSettings(BaseModel):
    """Files that people edit."""

    sources_file: Path = Field(
        ROOT / "config" / "sources.demo.yaml", description="data sets that a run pulls, and their label rules"
    )
    labels_file: Path = Field(Path(__file__).with_name("labels.yaml"), description="label map")
    quality_file: Path = Field(ROOT / "config" / "quality.yaml", description="thresholds and severities of the checks")
    relabel_file: Path = Field(ROOT / "config" / "relabel.yaml", description="base models, and what they may set")

    def files_digest(self) -> str:
        """Digest of the files that set what a training learns: label map and relabelling rules."""
        texts = (path.read_bytes() for path in (self.labels_file, self.relabel_file))
        return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


class CuratorSettings(BaseModel):
    """Questions to curators."""

    max_questions: int = Field(
        24, ge=0, validation_alias=_renamed("max_questions", "ask_most"), description="images that one run asks about"
    )
    ask_hours: float = Field(
        72.0, gt=0, description="how long a run waits for an answer; then the image is left out, or the champion stays"
    )


class DataDocsSettings(BaseModel):
    """Data Docs of Great Expectations."""

    data_docs_kept: int = Field(12, ge=1, description="Data Docs of this many validations are kept in the lake")


class ImageSettings(BaseModel):
    """What an image may be."""

    max_pixels: Annotated[int, ForPods] = Field(100_000_000, ge=1, description="width times height of one image")
    min_side: int = Field(32, ge=1, description="pixels; a smaller image is quarantined")
    decode_seconds: float = Field(60.0, gt=0, description="an image that takes longer to measure is quarantined")
    decode_megabytes: int = Field(
        4096, ge=0, description="MB that measuring one image may take; one that needs more is quarantined; 0: any"
    )


class SourceSettings(ImageSettings, HttpSettings, StateSettings):
    """What a source may bring, and publishers' accounts.

    Input above these limits is refused. Where an account is empty, Airflow's connections serve, such as
    `kaggle_default`.
    """

    max_files: int = Field(2_000_000, ge=1, description="files in one archive")
    max_file_bytes: int = Field(64 << 20, ge=1, description="bytes of one unpacked file")
    max_archive_bytes: int = Field(64 << 30, ge=1, description="bytes of one archive, unpacked")
    max_compression_ratio: float = Field(200.0, gt=1, description="unpacked : packed of one file, from 1 MiB up")
    archive_depth: int = Field(1, ge=0, le=8, description="archives within archives that are read")
    credentials: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {}, description='JSON: accounts at publishers that have no setting here, such as {"zenodo_token": "..."}'
    )
    kaggle_token: SecretStr = Field(SecretStr(""), description="API token; or give user name and key instead")
    kaggle_username: str = Field("", description="user name of the account at Kaggle")
    kaggle_key: SecretStr = Field(SecretStr(""), description="key of the account at Kaggle")
    kaggle_url: str = Field("https://api.kaggle.com", description="URL of Kaggle's API")
    roboflow_api_key: SecretStr = Field(SecretStr(""), description="key of the account at Roboflow")
    roboflow_url: str = Field("https://api.roboflow.com", description="https://api.roboflow.eu for accounts there")
    export_timeout: float = Field(1800.0, gt=0, description="seconds that Roboflow has to make an export")

    def secret(self, name: str) -> str:
        """A publisher's credential by its name: a setting here, or one of `credentials`. Empty where nobody gave it."""
        found = getattr(self, name) if name in type(self).model_fields else self.credentials.get(name, "")
        return found.get_secret_value() if isinstance(found, SecretStr) else str(found)

    @field_validator("credentials", mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        return json.loads(value or "{}") if isinstance(value, str) else value


class PatientSettings(StateSettings):
    """Pseudonyms of patients."""

    patient_key: SecretStr = Field(
        SecretStr(""),
        description="one a lake: the key of patients' pseudonyms; empty: state_dir/patient.key, which is made once",
    )


class SplitSettings(BaseModel):
    """Shares of train, val and test."""

    train_share: Annotated[float, ForPods] = Field(
        0.6, gt=0, lt=1, description="share of the images in train; what neither of the two takes is test"
    )
    val_share: Annotated[float, ForPods] = Field(0.2, gt=0, lt=1, description="share of the images in val")

    @model_validator(mode="after")
    def _something_is_left_for_test(self) -> Self:
        if self.train_share + self.val_share >= 1:
            raise ValueError(f"train_share {self.train_share} and val_share {self.val_share} leave nothing for test")
        return self


class PartitionSettings(BaseModel):
    """How much is worked on at once."""

    part_images: int = Field(
        20_000, ge=1, description="images from which on they are measured and transformed in parts, of about so many"
    )
    parallel_parts: int = Field(4, ge=1, description="parts that a DAG run works on at once")


class SearchSettings(BaseModel):
    """The search for an architecture, and processes that share it."""

    min_completed_trials: Annotated[int, ForPods] = Field(
        2, ge=1, description="a search with fewer completed trials fails"
    )
    search_host: str = Field(
        "127.0.0.1", description="address of this machine at which processes that help with a search reach it"
    )
    search_port: int = Field(0, ge=0, le=65535, description="its port, or 0: any that is free")
    search_patience: float = Field(
        10, gt=0, description="minutes for which a process that helps with a search waits for the one that leads it"
    )


class TrainingSettings(SearchSettings, SplitSettings, ImageSettings, StateSettings):
    """What trainings learn from."""

    unknown_fracture: Annotated[Literal["marginal", "leave-out"], ForPods] = Field(
        "marginal",
        description="images of unknown fracture state train the body part only (marginal), or nothing (leave-out)",
    )
    baseline_share: Annotated[float, ForPods] = Field(
        0.1,
        gt=0,
        le=1,
        validation_alias=_renamed("baseline_share", "rival_share"),
        description="share of the training images that baselines are trained on",
    )
    min_baseline_images: Annotated[int, ForPods] = Field(
        200,
        ge=1,
        validation_alias=_renamed("min_baseline_images", "rival_least"),
        description="baselines are trained on at least so many images, where there are",
    )
    feature_memory: Annotated[int, ForPods] = Field(
        1 << 30, ge=0, description="bytes; larger images or features are read from a file"
    )
    bootstrap_rounds: Annotated[int, ForPods] = Field(
        200, ge=20, description="resamples of leakage groups behind each interval"
    )
    needs_gpu: bool = Field(False, description="`osteon doctor` fails where TensorFlow sees no GPU")
    expected_code: str = Field("", description="version of the code that a pod must have: Airflow sets it")
    expected_files: str = Field("", description="digest of label map and rules that a pod must have: Airflow sets it")


class ScheduleSettings(BaseModel):
    """The schedule."""

    budget: Literal["smoke", "standard", "full"] = Field(
        "smoke", description="of scheduled runs, and what the form offers first; smoke shows that all works, no more"
    )
    scheduled_from: datetime = Field(
        datetime(2026, 1, 1, tzinfo=UTC), description="no scheduled run is made for a time before; must lie in the past"
    )


class PodSettings(BaseModel):
    """Where training runs; all but `trainer` is for pods only."""

    trainer: Literal["local", "kubernetes"] = Field(
        "local", description="training runs in a process on Airflow's worker, or in a pod of its own"
    )
    pod_namespace: str = Field("osteon-training", description="namespace of training pods")
    pod_image: str = Field("osteon-trainer:latest", description="holds `osteon` and what trains, no Airflow")
    pod_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="when a node pulls the image"
    )
    pod_service_account: str = Field("osteon-trainer", description="it may do nothing; its token is not mounted")
    pod_secret: str = Field("osteon-lake", description="Kubernetes Secret of files such as osteon_s3_secret_key")
    pod_template: Path = Field(ROOT / "deploy" / "training-pod.yaml", description="what every training pod has")
    pod_gpus: int = Field(1, ge=0, description="0 trains on the CPU")
    pod_cpu: str = Field("4", description="requested, and the limit")
    pod_memory: str = Field("16Gi", description="requested, and the limit")
    pod_disk: str = Field("20Gi", description="ephemeral storage: requested, and the limit")
    pod_shared_memory: str = Field("2Gi", description="of /dev/shm; it counts as memory")
    pod_node_selector: dict[str, str] = Field({}, description='JSON, such as {"gpu": "a100"}')
    pod_tolerations: list[dict[str, str | int]] = Field([], description="JSON, as Kubernetes writes them")
    pod_settings: dict[str, Any] = Field(
        {}, description='JSON: what pods see otherwise, such as {"s3_endpoint": "http://minio.lake:9000"}'
    )
    pod_queue_hours: float = Field(12.0, gt=0, description="how long a pod may wait for a node that has room, or a GPU")
    pod_hours: float = Field(24.0, gt=0, description="after that, a training is ended: its task and its pod")
    pod_start_minutes: float = Field(30.0, gt=0, description="how long a pod may take to start on its node")


class EmbeddedSettings(StateSettings):
    """The embedded services, on the loopback address only."""

    airflow_port: int = Field(8080, ge=1, le=65535, description="port of Airflow's pages")
    s3_port: int = Field(9000, ge=1, le=65535, description="port of the object store")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="port of MLflow")
    smtp_port: int = Field(1025, ge=1, le=65535, description="port of the mail server")
    mail_port: int = Field(8025, ge=1, le=65535, description="port of the page that shows the mails")


PARTS: tuple[type[BaseModel], ...] = (
    HttpSettings, LakeSettings, RegistrySettings, MailSettings, FileSettings, CuratorSettings, DataDocsSettings,
    ImageSettings, SourceSettings, PatientSettings, SplitSettings, PartitionSettings, SearchSettings, TrainingSettings,
    ScheduleSettings, PodSettings, EmbeddedSettings, StateSettings,
)  # fmt: skip
"""The parts of the settings, in the order of the documentation."""


class Settings(
    EmbeddedSettings, PodSettings, ScheduleSettings, TrainingSettings, PartitionSettings, PatientSettings,
    SourceSettings, DataDocsSettings, CuratorSettings, FileSettings, MailSettings, RegistrySettings, LakeSettings,
    BaseSettings,
):  # fmt: skip
    """All settings of one configuration. Make an instance where it is needed: nothing is read at import.

    A function asks for the part that it reads, such as `LakeSettings`. `Settings` is each of them.

    `OSTEON_S3_ENDPOINT=https://minio:9000` sets `s3_endpoint`. A folder named by `OSTEON_SECRETS_DIR` may hold one
    file per setting instead. The file has the variable's name in lower case, such as `osteon_s3_secret_key`, as Docker
    and Kubernetes mount secrets. Variables win over files.
    """

    model_config = SettingsConfigDict(
        env_prefix="OSTEON_", extra="ignore", hide_input_in_errors=True, validate_by_name=True
    )


FOR_PODS = tuple(name for name, info in Settings.model_fields.items() if ForPods in info.metadata)
"""Names of the settings that a training pod takes from Airflow."""


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; keyword arguments win.

    Raises `pydantic.ValidationError`, which names the setting and what it takes.
    """
    secrets_dir = os.environ.get("OSTEON_SECRETS_DIR")
    return Settings(_secrets_dir=secrets_dir, **overrides)  # type: ignore[arg-type,call-arg]
