"""Body parts for ambiguous images: what the base models say, what a rule lets them decide, and what they may not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from osteon import catalog as catalogs
from osteon.curation.eligibility import with_eligibility
from osteon.curation.publications import first_of_each, words_of
from osteon.errors import ConfigurationError
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.results import BaseModelResult
from osteon.schemas import Reviewed
from osteon.settings import TrainingSettings
from osteon.strict_yaml import read_yaml

VERSION = 2
ACCEPTED, MERGED, REVIEW, LEFT_OUT = "accepted", "merged", "to review", "left out"


class BaseModelRule(BaseModel):
    """What a base model tells apart: `parts` are its answer, `unsure` ones teach neither side, all others are other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: str
    parts: tuple[str, ...]
    unsure: tuple[str, ...] = ()


class SourceRule(BaseModel):
    """What may be decided about a source's ambiguous images; see `config/relabel.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    may: Literal["nothing", "images", "merge"] = "images"
    into: str | None = None
    agreement: float = Field(0.95, gt=0.5, le=1)
    originals: int = Field(20, ge=1)
    like: tuple[str, ...] = ()


class RelabelRules(BaseModel):
    """The relabel file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(0.9, gt=0.5, lt=1)
    least: int = Field(20, ge=0)
    evidence: int = Field(20, ge=1)
    specificity: float = Field(0.9, gt=0.5, le=1)
    base_models: dict[str, BaseModelRule]
    default: SourceRule
    sources: dict[str, SourceRule] = {}

    def rule(self, source: str) -> SourceRule:
        """What base models may do with a source's images."""
        return self.sources.get(source, self.default)


@dataclass(frozen=True)
class Verdict:
    """What was decided about a source as a whole."""

    source: str
    images: int
    """Ambiguous ones."""
    originals: int
    into: str | None
    agreement: float | None
    """Share of originals that the base model takes for `into`, 0 to 1; None where nothing was asked."""
    merged: bool
    why: str


def is_ambiguous(catalog: pd.DataFrame, publications: pd.DataFrame) -> pd.Series[bool]:
    """Which images take part but for their body part: none is said, or several, or a word that means either.

    Args:
        catalog: A reviewed catalog.
        publications: All files that its images were published as.

    Returns:
        Whether base models may give each image a part. Not where a curator has decided, or a word is unknown.
    """
    unknown = catalog["sha256"].isin(words_of(publications, "unknown_words").index)
    kept_out = catalog["reason"].notna() | catalog["conflict"].notna() | unknown
    return catalog["body_part"].isna() & ~kept_out & (catalog["label_origin"] != catalogs.HUMAN)


def load_rules(path: Path, labels: LabelMap) -> RelabelRules:
    """Read the relabel file. Raises `ConfigurationError`: no such file, a mistake in it, a part that is none."""
    try:
        rules = RelabelRules.model_validate(read_yaml(path))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no relabel file at {path}: set OSTEON_RELABEL_FILE") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"the relabel file {path} cannot be read: {error}") from error
    answers = {rule.answer for rule in rules.base_models.values()}
    for name, rule in rules.base_models.items():
        odd = {rule.answer, *rule.parts, *rule.unsure} - set(labels.parts)
        if odd:
            raise ConfigurationError(
                f"{path}: {name} names {', '.join(sorted(odd))}, which the label map does not hold"
            )
    for name, source in rules.sources.items():
        if source.may == "merge" and source.into not in answers:
            raise ConfigurationError(
                f"{path}: source {name} may merge, but `into: {source.into}` is none of {', '.join(sorted(answers))}"
            )
    return rules


def judge_images(
    images: pd.DataFrame, publications: pd.DataFrame, chances: pd.DataFrame, rules: RelabelRules
) -> pd.DataFrame:
    """`body_part, probability, decision, why` for each ambiguous image by itself.

    `chances` has a column per answer (hand, leg), the calibrated probability of it. An image gets an answer as its part
    where three things hold. That answer is at least as likely as the threshold asks. No other answer is more likely
    than not. The image's labels name the part or leave it open.
    """
    parts, rows = words_of(publications, "named_parts"), []
    for (_, image), (_, chance) in zip(images.iterrows(), chances.iterrows(), strict=True):
        best = str(chance.idxmax())
        probability = float(chance[best])
        named = parts.get(image["sha256"], "")
        others = [answer for answer in chance.index if answer != best and chance[answer] > 0.5]
        decision: tuple[str | None, str, str]
        if rules.rule(image["source"]).may == "nothing":
            decision = (None, LEFT_OUT, "the rule of its source lets nothing be decided")
        elif probability < rules.threshold:
            decision = (None, REVIEW, f"{best} with {probability:.0%}, {rules.threshold:.0%} are needed")
        elif others:
            decision = (None, REVIEW, f"may be {best} and {', '.join(others)}")
        elif named and best not in named.split(", "):
            decision = (None, REVIEW, f"looks like {best}, but its label names {named}")
        else:
            decision = (best, ACCEPTED, f"{best} with {probability:.0%}")
        rows.append((decision[0], probability, decision[1], decision[2]))
    return pd.DataFrame(rows, columns=["body_part", "probability", "decision", "why"], index=images.index)


def judge_source(
    name: str, images: pd.DataFrame, chances: pd.DataFrame, rules: RelabelRules, trainings: dict[str, BaseModelResult]
) -> Verdict:
    """Whether a source's ambiguous images may all become one part, and why not.

    `trainings` are the base models' results by answer; their `by_source` counts what they said of held-out images.
    """
    rule, originals = rules.rule(name), int(images["group"].nunique())

    def verdict(merged: bool, why: str, agreement: float | None = None) -> Verdict:
        return Verdict(name, len(images), originals, rule.into, agreement, merged, why)

    if rule.may != "merge":
        return verdict(False, f"its rule says `may: {rule.may}`")
    if rule.into is None or rule.into not in chances:
        return verdict(False, f"there is no base model that tells {rule.into}")
    votes = chances[rule.into].groupby(images["group"]).mean() > 0.5
    agreement = float(votes.mean())
    if originals < rule.originals:
        return verdict(False, f"{originals} originals, {rule.originals} are needed", agreement)
    if agreement < rule.agreement:
        why = f"{agreement:.0%} of {originals} originals look like {rule.into}, {rule.agreement:.0%} are needed"
        return verdict(False, why, agreement)
    kind = rule.like or (name,)
    seen = [row for row in trainings[rule.into].by_source if row.source in kind]
    others, right = sum(row.n_negative for row in seen), sum(row.n_negative_correct for row in seen)
    if others < rules.evidence:
        why = (
            f"the base model was shown {others} held-out images of {', '.join(kind)} that are not {rule.into}, "
            f"{rules.evidence} are needed. It may say {rule.into} of anything"
        )
        return verdict(False, why, agreement)
    if right / others < rules.specificity:
        why = (
            f"of {others} held-out images of {', '.join(kind)} that are not {rule.into} the base model called "
            f"{right / others:.0%} other, {rules.specificity:.0%} are needed"
        )
        return verdict(False, why, agreement)
    return verdict(True, f"{agreement:.0%} of {originals} originals look like {rule.into}", agreement)


def relabel(
    settings: TrainingSettings,
    lake: Lake,
    labels: LabelMap,
    rules: RelabelRules,
    catalog_key: str,
    trainings: dict[str, BaseModelResult],
    predict: Any,
) -> tuple[str, str]:
    """Set `body_part` and `label_origin` of ambiguous images, and work out anew which images take part.

    The same inputs give what they gave before, without asking any model. What was published stays in `raw_label` and in
    the table of publications.

    Args:
        settings: Of them, whether images of unknown fracture state take part.
        lake: Where the catalog lies.
        labels: The label map.
        rules: What may be decided.
        catalog_key: Of a reviewed catalog.
        trainings: The base models' results, by answer.
        predict: Gives the calibrated probability of each answer for some images of the catalog.

    Returns:
        The keys of the catalog and of the table of what was decided. The verdicts about sources are a list beside it,
        see `verdicts_key`.
    """
    used = {answer: result.key for answer, result in trainings.items()}
    inputs = [catalog_key, used, rules.model_dump(), labels.model_dump(), settings.unknown_fracture]
    key = derived_key("relabel", VERSION, *inputs)
    table_key = decisions_key(key)
    if lake.exists(verdicts_key(table_key)):
        return key, table_key
    catalog = catalogs.read(lake, catalog_key, Reviewed)
    publications = catalogs.read_publications(lake, catalog)
    images = catalog[is_ambiguous(catalog, publications)]
    chances = predict(images) if len(images) and trainings else pd.DataFrame(index=images.index)
    if chances.empty:
        decided = pd.DataFrame(index=images.index, columns=["body_part", "probability", "decision", "why"])
        decided["decision"], decided["why"] = REVIEW, "no base model was trained, see the report"
    else:
        decided = judge_images(images, publications, chances, rules)
    verdicts = list[Verdict]()
    for name, members in images.groupby("source"):
        verdict = judge_source(str(name), members, chances.loc[members.index], rules, trainings)
        verdicts.append(verdict)
        if verdict.merged:
            why = f"the whole source was merged: {verdict.why}"
            decided.loc[members.index, ["body_part", "decision", "why"]] = [verdict.into, MERGED, why]
            decided.loc[members.index, "probability"] = chances.loc[members.index, str(verdict.into)]
    placed = decided.index[decided["body_part"].notna()]
    catalog.loc[placed, "body_part"] = decided.loc[placed, "body_part"].astype("string")
    catalog.loc[placed, "label_origin"] = catalogs.BASE_MODEL
    table = pd.concat([images[["sha256", "source", "path", "raw_label", "group"]], decided], axis=1)
    table = table.join(chances.add_prefix("p_"))
    table["raw_split"] = images["sha256"].map(first_of_each(publications)["raw_split"])
    words = {name: "string" for name in table.columns if not name.startswith("p")} | {"path": "string"}
    table = table.astype(words | {name: "Float64" for name in table.columns if name not in words})
    catalogs.write(lake, key, with_eligibility(catalog, publications, settings.unknown_fracture), Reviewed)
    lake.put_table(table_key, table)
    lake.put_json(verdicts_key(table_key), [asdict(verdict) for verdict in verdicts])  # last: it says that all is there
    return key, table_key


def decisions_key(catalog_key: str) -> str:
    """Where the table of what was decided is, of a relabelled catalog."""
    return catalog_key.replace(".parquet", "-decisions.parquet")


def verdicts_key(table_key: str) -> str:
    """Where the verdicts about sources are, of a table of what was decided."""
    return table_key.replace("-decisions.parquet", "-verdicts.json")


def read_verdicts(lake: Lake, table_key: str) -> list[Verdict]:
    """The verdicts about sources, of a table of what was decided."""
    return TypeAdapter(list[Verdict]).validate_json(lake.get_bytes(verdicts_key(table_key)))


def changes(before: dict[str, str], verdicts: list[Verdict]) -> list[str]:
    """What a merge of the run before and one of this run have against each other, one sentence each."""
    sentences = []
    for verdict in verdicts:
        last, now = before.get(verdict.source), verdict.into if verdict.merged else None
        if last == now:
            continue
        if now is None:
            sentences.append(f"{verdict.source} is no longer merged into {last}: {verdict.why}")
        elif last is None:
            sentences.append(f"{verdict.source} is now merged into {now}: {verdict.why}")
        else:
            sentences.append(f"{verdict.source} is now merged into {now}, no longer into {last}: {verdict.why}")
    return sentences
