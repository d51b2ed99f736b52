"""The stages as the DAG and the command line call them: keys and small numbers in, keys and small numbers out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon.errors import ConfigurationError, OsteonError, QualityError
from osteon.ingest import LakeMemory, Memory, recall, remember
from osteon.ingest import ingest as ingest_source
from osteon.labels import LabelMap, load_labels
from osteon.lake import Lake
from osteon.models.space import ABLATIONS, BUDGETS, MAIN
from osteon.runs import Run
from osteon.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

    from osteon.curation.relabel import RelabelRules
    from osteon.quality.alert import Alert, Tell
    from osteon.quality.validate import Validation

log = logging.getLogger(__name__)
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
STAGES = (
    "ingest",
    "catalogue",
    "inspect",
    "repair",
    "group",
    "review",
    "validate",
    "relabel",
    "split",
    "check",
    "train",
    "compare",
    "register",
    "report",
)


class Pipeline:
    """One run of the stages. Settings are read, and the lake is opened, when it is made."""

    def __init__(self, run_id: str, **settings: object) -> None:
        self.settings = load_settings(**settings)
        self.lake = Lake.from_settings(self.settings)
        self.run = Run(self.lake, run_id)

    @cached_property
    def labels(self) -> LabelMap:
        """The label map. Raises `ConfigurationError` when it cannot be read."""
        return load_labels(self.settings.labels_file)

    def source_names(self, sources_file: str) -> list[str]:
        """Names of the sources that a file enables, in its order; the run's report is about these."""
        from osteon.sources.config import read_sources_file

        with self.run.stage("sources") as numbers:
            names = [entry.name for entry in read_sources_file(Path(sources_file)).sources if entry.enabled]
            if not names:
                raise ConfigurationError(f"{sources_file} enables no source: set `enabled: true` for one")
            numbers["names"] = names
        return names

    def model_name(self, sources_file: str) -> str:
        """Name in the registry of what a sources file trains."""
        from osteon.sources.config import read_sources_file

        return read_sources_file(Path(sources_file)).model or self.settings.model_name

    def ingest(self, sources_file: str, name: str, memory: Memory | None = None) -> str:
        """Pull one source; returns the manifest's key.

        Where that fails, the run goes on with the last good version. Raises, `SourceError` mostly, where there is none.
        """
        from osteon.sources.config import open_source

        memory = memory or LakeMemory(self.lake)
        last = recall(memory, self.lake, name)
        with self.run.stage(f"ingest.{name}") as numbers:
            try:
                source = open_source(Path(sources_file), self.settings, name)
                key, counts = ingest_source(self.settings, self.lake, source)
            except Exception as error:  # whatever a publisher's data or client makes happen, the others go on
                kind = type(error).__name__
                numbers["problem"] = str(error) if isinstance(error, OsteonError) else f"{kind}: see the task's log"
                if last is None:
                    raise
                log.exception("the run goes on with the last good version of %s, %s", name, last.manifest)
                key, counts = last.manifest, {"uploaded": 0}
            pulled = remember(memory, last, name, key, self.run.run_id)
            numbers |= {**counts, "manifest": key, "before": pulled.before}
        return key

    def catalogue(self, manifests: list[str]) -> str:
        from osteon.curation.catalogue import catalogue

        with self.run.stage("catalogue", *manifests) as numbers:
            key, counts = catalogue(self.lake, self.labels, manifests)
            numbers |= {**counts, "catalog": key}
        return key

    def inspect_parts(self, catalog: str) -> list[str]:
        """Parts of the catalog that had better be measured by several tasks first: `inspect_part` of each."""
        from osteon.images.inspect import inspect_parts

        return inspect_parts(self.settings, self.lake, catalog)

    def inspect_part(self, catalog: str, part: str) -> int:
        from osteon.images.inspect import inspect_part

        return inspect_part(self.settings, self.lake, catalog, part)

    def inspect(self, catalog: str) -> str:
        from osteon.images.inspect import inspect

        with self.run.stage("inspect", catalog) as numbers:
            key, counts = inspect(self.settings, self.lake, catalog)
            numbers |= {**counts, "catalog": key}
        return key

    def repair(self, catalog: str) -> str:
        from osteon.curation.repair import repair

        with self.run.stage("repair", catalog) as numbers:
            key, counts = repair(self.settings, self.lake, catalog)
            numbers |= {**counts, "catalog": key}
        return key

    def group(self, catalog: str) -> str:
        from osteon.curation.grouping import group

        with self.run.stage("group", catalog) as numbers:
            key, counts = group(self.settings, self.lake, catalog)
            numbers |= {**counts, "catalog": key}
        return key

    def review(self, catalog: str) -> str:
        """Apply what curators decided."""
        from osteon.curation.review import review

        with self.run.stage("review", catalog) as numbers:
            key, counts = review(self.lake, self.labels, catalog)
            numbers |= {**counts, "catalog": key}
        return key

    def validate(self, catalog: str, manifests: list[str], sources_file: str) -> str:
        """Returns the key of the validation; whether it stops the run is for the caller to see."""
        from osteon.quality.validate import validate
        from osteon.registry import champion_key

        with self.run.stage("validate", catalog) as numbers:
            champion = champion_key(self.model_name(sources_file))
            none: dict[str, Any] = {"catalog": catalog}
            learnt = self.lake.get_json(champion) if self.lake.exists(champion) else none
            shares = {} if learnt["catalog"] == catalog else learnt["images_by_class"]  # of this very data: no shift
            sources = self.run.sources()
            result = validate(self.settings, self.lake, self.labels, catalog, manifests, sources, shares)
            severities = [finding.severity for finding in result.findings]
            numbers |= {"validation": result.key, "docs": result.docs, "stops": result.stops}
            numbers |= {name: severities.count(name) for name in ("info", "warning", "critical")}  # type: ignore[arg-type]
        return result.key

    def gate(self, validation: str, sources_file: str, tell: Callable[[Alert], str]) -> None:
        """Tell people about warnings and worse through `tell`, and raise `QualityError` on a critical finding.

        Nothing is told when all is as it was told last, unless OSTEON_MAIL_WHEN asks for it. `tell` returns `sent`
        or why the mail was not sent; the run's record keeps that, and what was not sent does not count as told.
        """
        from osteon.quality.validate import read_validation

        found = read_validation(self.lake, validation)
        with self.run.stage("gate", validation) as numbers:
            numbers["mail"] = self._alert(found, f"alerts/{self.model_name(sources_file)}.json", tell)
        _stop(found)

    def check(self, catalog: str, manifests: list[str], sources_file: str, tell: Callable[[Alert], str]) -> str:
        """Check a catalog that was split, tell what is found as `gate` does, and return the catalog's key.

        Raises `QualityError` on a critical finding, and `CatalogError` where counts do not add up.
        """
        from osteon import catalog as catalogs
        from osteon.quality.split_check import check_split
        from osteon.reports.leakage import read_leakage

        with self.run.stage("check", catalog) as numbers:
            split = self.run.stages().get("split", {})
            moved = split.get("moved_from", {}) if split.get("catalog") == catalog else {}
            found = check_split(self.settings, self.lake, catalog, manifests, moved)
            place = f"alerts/{self.model_name(sources_file)}-split.json"
            leakage = read_leakage(self.lake, catalogs.read(self.lake, catalog))
            numbers |= {"check": found.key, "stops": found.stops, **(leakage.numbers if leakage else {})}
            numbers["mail"] = self._alert(found, place, tell)
        _stop(found)
        return catalog

    def _alert(self, found: Validation, place: str, tell: Callable[[Alert], str]) -> str:
        """Tell people about findings through `tell`; returns what came of it. `place` remembers what was told last."""
        from dataclasses import asdict, replace

        from osteon.quality.alert import Alert, Told, told
        from osteon.quality.pictures import Picture, before_and_after, class_chart, thumbnails

        for finding in found.findings:
            log.log(LEVELS[finding.severity], "%s: %s %s", finding.check, finding.message, finding.remedy)
        before = self._before(place, "told")
        earlier = None if before is None else {check: Told(**values) for check, values in before.items()}
        alert = Alert(found, earlier, {}, None)
        mail = "nothing new to tell"
        wanted = {"news": alert.news, "findings": alert.news or bool(alert.findings), "always": True}
        if wanted[self.settings.mail_when]:
            small = thumbnails(self.lake, alert.findings, self.settings.max_pixels)
            chart = class_chart(found.classes) if found.classes else None
            picture = Picture("classes", chart, "Images by class and source") if chart else None
            repairs = before_and_after(self.lake, found, self.settings.max_pixels)
            mail = tell(replace(alert, thumbnails=small, chart=picture, repairs=repairs))
        if mail in ("sent", "nothing new to tell"):
            now = {check: asdict(values) for check, values in told(alert.findings).items()}
            self.lake.put_json(place, {"run": self.run.run_id, "told": now, "before": before})
        return mail

    def base_models(self, catalog: str, seed: int) -> list[str]:
        """Names of the base models that are worth training and can be; the run's record says why others are not."""
        from osteon import catalog as catalogs
        from osteon.curation.relabel import ambiguous
        from osteon.training.base import lacking

        with self.run.stage("base_models", catalog) as numbers:
            rules = self._rules()
            images = catalogs.read(self.lake, catalog)
            count = int(ambiguous(images, self.labels).sum())
            few = f"{count} ambiguous images; from {rules.least} on it is worth it" if count < rules.least else None
            problems = {name: few or lacking(self._teaching(images, name, seed)) for name in rules.base_models}
            numbers["untaught"] = {name: problem for name, problem in problems.items() if problem}
            for name, problem in numbers["untaught"].items():
                log.warning("%s is not trained: %s", name, problem)
        return [name for name, problem in problems.items() if problem is None]

    def register_base(self, trainings: list[str], sources_file: str) -> dict[str, str]:
        """Put base models into the registry, named after the model that they serve; returns their versions."""
        from osteon.registry import register_base

        with self.run.stage("register_base", *trainings) as numbers:
            for training in trainings:
                model = self.lake.get_json(f"{training}/result.json")["model"]
                name = f"{self.model_name(sources_file)}-{model}"
                numbers[name] = register_base(self.settings, self.lake, training, name)
        return numbers

    def relabel(self, catalog: str, trainings: list[str], sources_file: str, tell: Tell) -> str:
        """Give ambiguous images a body part where the base models and the rules say so; returns the catalog's key.

        Sources that are merged and were not in the run before, or the other way round, are told through `tell`.
        """
        from osteon.curation.relabel import changes, relabel, verdicts_key

        with self.run.stage("relabel", catalog) as numbers:
            results = [self.lake.get_json(f"{training}/result.json") for training in trainings]
            by_answer = {result["answer"]: result for result in results}
            key, decisions = relabel(
                self.lake,
                self.labels,
                self._rules(),
                catalog,
                by_answer,
                lambda images: self._chances(by_answer, images),
            )
            verdicts = self.lake.get_json(verdicts_key(decisions))
            place = f"merges/{self.model_name(sources_file)}.json"
            before = self._before(place, "merged") or {}
            told = changes(before, verdicts)
            for text in told:
                log.warning("%s", text)
            if told:
                numbers["mail"] = tell("Merged sources changed", "\n".join(told))
            merged = {item["source"]: item["into"] for item in verdicts if item["merged"]}
            self.lake.put_json(place, {"run": self.run.run_id, "merged": merged, "before": before})
            counts = self.lake.get_table(decisions, columns=["decision"])["decision"].value_counts()
            numbers |= {"decisions": {str(name): int(count) for name, count in counts.items()}, "changes": told}
            numbers |= {"catalog": key, "table": decisions, "trainings": trainings}
        return key

    def questions(self) -> list[dict[str, str]]:
        """What this run asks curators: `image, name, why` of the images that the base models are least unsure of."""
        from osteon.curation.relabel import REVIEW

        table = self.lake.get_table(self.run.stages()["relabel"]["table"])
        waiting = table[table["decision"] == REVIEW].sort_values("probability", ascending=False)
        return [
            {"image": row.sha256, "name": f"{row.source}:{row.path}", "why": f"Published as {row.raw_label}: {row.why}"}
            for row in waiting.head(self.settings.ask_most).itertuples()
        ]

    def answers(self, catalog: str, answers: list[dict[str, Any]]) -> str:
        """Record what curators answered, and apply it; returns the catalog's key."""
        from osteon import catalog as catalogs
        from osteon.curation.review import record, review

        with self.run.stage("answers", catalog) as numbers:
            numbers["new"] = record(self.lake, self.labels, catalogs.read(self.lake, catalog), answers)
            numbers["asked"] = len(answers)
            key, counts = review(self.lake, self.labels, catalog)
            numbers |= {**counts, "catalog": key}
        return key

    def _before(self, place: str, name: str) -> Any:
        """What an earlier run left under `name` in a record that each run writes with its id; None if none did.

        A task that is tried again finds its own record there, which kept the earlier run's as `before`.
        """
        last = self.lake.get_json(place) if self.lake.exists(place) else {}
        return last.get("before" if last.get("run") == self.run.run_id else name)

    def _rules(self) -> RelabelRules:
        from osteon.curation.relabel import load_rules

        return load_rules(self.settings.relabel_file, self.labels)

    def _teaching(self, catalog: pd.DataFrame, model: str, seed: int) -> pd.DataFrame:
        from osteon.training.base import teaching_images

        return teaching_images(catalog, self._rules().base_models[model], self.labels, self.lake, self.settings, seed)

    def _chances(self, results: dict[str, dict[str, Any]], images: pd.DataFrame) -> pd.DataFrame:
        """Calibrated probability of each answer, by image."""
        import pandas as pd

        from osteon.features import load_features
        from osteon.training.predictor import Predictor

        columns = {}
        for answer, result in results.items():
            predictor = Predictor.from_lake(self.lake, result["key"])
            features = load_features(self.settings, self.lake, images, predictor.recipe)
            columns[answer] = predictor.chance(answer, features)
        return pd.DataFrame(columns, index=images.index)

    def split(self, catalog: str, seed: int) -> str:
        from osteon.curation.split import split

        with self.run.stage("split", catalog) as numbers:
            key, counts = split(self.settings, self.lake, self.labels, catalog, seed)
            numbers |= {**counts, "catalog": key}
        return key

    def square_parts(self, catalog: str) -> list[str]:
        """Parts of the catalog whose images had better be made ready for training by several tasks: `square_part` of
        each."""
        from osteon.parts import parts

        return parts(len(self._usable(catalog)), self.settings.part_images)

    def square_part(self, catalog: str, part: str, budget: str) -> int:
        """Returns the number of squares, of the sides that a budget asks for."""
        from osteon.features import keep_squares
        from osteon.models.forest import SIDE

        images, plan = self._usable(catalog), BUDGETS[budget]
        sides = sorted({plan.side, plan.search_side, SIDE})
        return sum(keep_squares(self.settings, self.lake, images, side, part) for side in sides)

    def _usable(self, catalog: str) -> pd.DataFrame:
        from osteon import catalog as catalogs

        images = catalogs.read(self.lake, catalog)
        return images[catalogs.usable(images)]

    def ablations(self, budget: str) -> list[str]:
        """In which ways the main model's design is trained again, to see what its parts are worth."""
        return list(ABLATIONS) if BUDGETS[budget].ablations else []

    def start_from(self, sources_file: str) -> str:
        """The training of the champion, whose design a search starts with; empty while there is none."""
        from osteon.registry import champion_key

        place = champion_key(self.model_name(sources_file))
        return str(self.lake.get_json(place).get("training", "")) if self.lake.exists(place) else ""

    def training_key(self, catalog: str, model: str, budget: str, seed: int, salt: str = "", winner: str = "") -> str:
        """Where the training of `model` on this snapshot goes: set by its inputs; another `salt` forces another.

        Of an ablation, the main model's training, `winner`, is an input. The champion that a search starts with is
        none: the same data are not learnt again because of it.
        """
        from dataclasses import asdict

        from osteon import catalog as catalogs
        from osteon.lake import derived_key
        from osteon.training import base
        from osteon.training.train import VERSION

        images, rules = catalogs.read(self.lake, catalog), self._rules()
        if model in rules.base_models:
            images = self._teaching(images, model, seed)
            rounds = self.settings.bootstrap_rounds
            return base.training_key(images, model, rules.base_models[model], budget, seed, rounds, salt)
        snapshot, settings = catalogs.snapshot_id(images, self.labels), self.settings
        used = images.loc[images["split"].notna(), ["sha256", "source"]]  # there are figures of each source
        inputs = [snapshot, used.to_csv(index=False), asdict(BUDGETS[budget]), seed, salt]
        inputs += [settings.unknown_fracture, settings.bootstrap_rounds]
        if model != MAIN:
            inputs += [settings.rival_share, settings.rival_least]
        if model in ABLATIONS:
            inputs.append(winner)
        return derived_key(f"models/{model}", VERSION, *inputs, suffix="")

    def compare(self, trainings: list[str]) -> str:
        """Compare the main model with what else was trained on the snapshot; returns the comparison's key."""
        from osteon.training.compare import compare

        snapshots = {self.lake.get_json(f"{training}/result.json")["snapshot"] for training in trainings}
        if len(snapshots) > 1:
            raise ConfigurationError(f"{', '.join(trainings)} are of several snapshots: compare those of one")
        with self.run.stage("compare", *snapshots) as numbers:
            numbers["comparison"] = compare(self.lake, trainings, self.settings.bootstrap_rounds)
        return str(numbers["comparison"])

    def approvals(self, training: str, comparison: str, sources_file: str, always: bool) -> list[dict[str, str]]:
        """What a person is asked before a model is promoted: `champion, name, why`; nothing where the gate refuses.

        Unless `always`, only what would follow a champion that a rollback brought back is asked about.
        """
        from osteon.registry import propose

        name, rows = self.model_name(sources_file), self._compared(training, comparison)
        found = propose(self.settings, self.lake, training, name, rows, always)
        if found is None:
            return []
        return [{"champion": found.champion, "name": name, "why": f"The gate says: {found.reason}."}]

    def _compared(self, training: str, comparison: str) -> list[dict[str, Any]]:
        """The rows of a training's comparison. Raises `ConfigurationError` for another training's."""
        rows: list[dict[str, Any]] = self.lake.get_json(comparison)
        if any(row["model"] == MAIN and row.get("training") != training for row in rows):
            raise ConfigurationError(f"{comparison} does not compare {training}: make one that does, `osteon compare`")
        return rows

    def register(
        self,
        training: str,
        comparison: str,
        sources_file: str,
        answers: list[dict[str, Any]] | None = None,
        tell: Tell | None = None,
    ) -> dict[str, Any]:
        """Put the trained model into the registry, under the name that its sources file gives; returns where it is.

        `answers` are those of `approvals`' question: `about, answer, by`, which is None where nobody answered. A
        version that is new is told through `tell`.
        """
        from dataclasses import asdict

        from osteon.quality.pictures import Picture
        from osteon.registry import PROMOTE, Approval, register
        from osteon.reports.evaluation import evaluation_picture, figure_lines

        with self.run.stage("register", comparison) as numbers:
            name, rows = self.model_name(sources_file), self._compared(training, comparison)
            catalog = self.run.stages().get("review", {}).get("catalog", "")
            said = (Approval(one["answer"] == PROMOTE, one["by"], one["about"]) for one in answers or [])
            approval = next(said, None)
            registered = register(self.settings, self.lake, training, name, catalog, rows, approval)
            numbers |= {**asdict(registered), "training": training, "comparison": comparison}
            if tell is not None and registered.new:
                result = self.lake.get_json(f"{training}/result.json")
                picture = Picture(
                    "evaluation", evaluation_picture(result), "ROC curves and calibration on the test split"
                )
                title = f"Version {registered.version} of {name} is {registered.alias}"
                numbers["mail"] = tell(title, "\n".join(figure_lines(result, registered.reason)), picture)
        return numbers

    def report(self) -> str:
        """Write `summary.json` and the page; returns the page's key. Works for runs that stopped early, too."""
        from osteon.reports.page import write_report

        return write_report(self.settings, self.lake, self.run)


def _stop(found: Validation) -> None:
    """Raise `QualityError` where a finding is critical."""
    if found.stops:
        critical = [finding.message for finding in found.findings if finding.severity == "critical"]
        raise QualityError(f"stopped before training: {' '.join(critical)}")
