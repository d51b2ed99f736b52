"""Commands for sources, and for what curators decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from osteon.commands.options import Run, Sources
from osteon.errors import ConfigurationError, SourceError
from osteon.labels import load_labels
from osteon.settings import load_settings


def ingest(sources: Sources = None, run: Run = "command-line") -> None:
    """Pull every source; prints the manifests' keys. One that fails does not stop the others."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.local import pull_sources

    context = Context.open(run)
    pulled = pull_sources(context, str(sources or context.settings.sources_file))
    for manifest in pulled.manifests:
        typer.echo(manifest)
    if pulled.problems:
        raise SourceError("\n".join(pulled.problems))


def review(
    target: Annotated[str | None, typer.Argument()] = None,
    keep: Annotated[bool, typer.Option("--keep", help="use it as it is labelled")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="leave it out")] = False,
    label: Annotated[str | None, typer.Option(help="set its label: part/state, as wrist/fractured")] = None,
    whole_group: Annotated[bool, typer.Option("--group", help="all copies of the original are meant")] = False,
    copies: Annotated[str | None, typer.Option(metavar="OTHER", help="TARGET and OTHER show one film")] = None,
    no_copies: Annotated[
        str | None, typer.Option("--no-copies", metavar="OTHER", help="TARGET and OTHER are two films")
    ] = None,
    who: Annotated[str, typer.Option(help="who decides")] = "",
    why: Annotated[str, typer.Option(help="for what reason")] = "",
) -> None:
    """Decide about an image, a group or a pair, for every later run; without an argument, list what was decided.

    TARGET and OTHER are `source:path`, or the beginning of a SHA-256 (8 digits at least); TARGET may also be that of a
    group's name.
    """
    from osteon.curation.decisions import Decision, decide, decisions
    from osteon.lake import Lake

    settings = load_settings()
    lake = Lake.from_settings(settings)
    if target is None:
        for made in decisions(lake):
            what = f"{made.action} {made.label or ''}".strip() + (" (whole group)" if made.whole_group else "")
            about = f"{made.target} and {made.other}" if made.other else made.target
            typer.echo(f"{made.when:%Y-%m-%d %H:%M}  {what:32} {about}  by {made.who}: {made.why}")
        return
    said = {"keep": keep, "drop": drop, "label": label is not None}
    said |= {"copies": copies is not None, "no copies": no_copies is not None}
    actions: Any = [action for action, is_said in said.items() if is_said]
    if len(actions) != 1 or not who or not why:
        raise ConfigurationError(
            "say one of --keep, --drop, --label PART/STATE, --copies OTHER and --no-copies OTHER; give --who and --why"
        )
    more: Any = {"whole_group": whole_group, "label": label, "other": copies or no_copies}
    made = Decision(target=target, action=actions[0], who=who, why=why, **more)
    typer.echo(decide(lake, load_labels(settings.labels_file), made))
