"""The hyperparameters of a network, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from osteon.errors import TrainingError

Hyperparameter = str | int | float
AtLeastOne = Annotated[int, Field(ge=1)]


class NetworkDesign(BaseModel):
    """A network's architecture, its input and its learning rate.

    Its JSON holds only the fields that are set, as designs in the lake and in MLflow do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    wavelet: str | None = None
    """None for a base model, whose input is chosen apart from its design."""
    level: Annotated[int, Field(ge=0)] | None = None
    blocks: AtLeastOne
    filters: AtLeastOne
    """Of the first block."""
    growth: AtLeastOne
    """Filters of a block over those of the block before."""
    kernel: AtLeastOne
    block: Literal["plain", "residual", "separable"]
    norm: Literal["batch", "group"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    columns: str | None = None
    """`pooled`: the LSTM reads the mean and the maximum of a row over its columns. Else it reads all of a row."""
    lstm_layers: Annotated[int, Field(ge=0)]
    lstm_units: AtLeastOne | None = None
    dense: AtLeastOne | None = None
    """Units of the dense layer that reads the whole feature map, where there is no LSTM."""

    @classmethod
    def from_hyperparameters(cls, values: Mapping[str, Hyperparameter | None]) -> Self:
        """Read a design from its JSON or from a search.

        Raises:
            TrainingError: A field is unknown, missing or has a value that it cannot have.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'design'}: {one['msg']}" for one in error.errors())
            raise TrainingError(f"this is no design that this version can build ({wrong}): train it again") from error

    @model_validator(mode="after")
    def _units_for_each_layer(self) -> Self:
        if self.lstm_layers and self.lstm_units is None:
            raise ValueError("a design with lstm_layers needs lstm_units")
        return self

    @property
    def recurrent_units(self) -> int:
        """Units of each LSTM layer; 0 where there is none."""
        return self.lstm_units or 0 if self.lstm_layers else 0

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """The fields that are set, by name: what JSON, MLflow and keys hold."""
        return self.model_dump(exclude_none=True)

    def changed(self, **values: Hyperparameter) -> Self:
        """The same design with other values of some fields. Raises `TrainingError` as `from_hyperparameters` does."""
        return self.from_hyperparameters(self.hyperparameters | values)
