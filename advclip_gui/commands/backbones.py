"""`advclip-gui models`: which backbones there are, which are here, and fetching one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from advclip_gui.commands.options import DebugOption, JsonOption, OfflineOption, check_json_place
from advclip_gui.commands.output import table, write_json
from advclip_gui.commands.watcher import Watcher
from advclip_gui.engine.catalog import all_entries, is_here
from advclip_gui.engine.published import BackboneEntry, matches


def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only those that hold all of these words.")
    ] = None,
    family: Annotated[str, typer.Option("--family", metavar="NAME", help="Such as OpenAI or SigLIP.")] = "",
    size: Annotated[int, typer.Option("--size", min=0, metavar="PX", help="Only this resolution.")] = 0,
    here: Annotated[bool, typer.Option("--here", help="Only those on this machine.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Also those that cannot be adapted.")] = False,
    fetch: Annotated[
        str,
        typer.Option(
            "--fetch", metavar="MODEL", help="Download this one: NAME:WEIGHTS or hf-hub:owner/repository."
        ),
    ] = "",
    offline: OfflineOption = False,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """List the backbones that can be adapted, or fetch one. Nothing is downloaded without --fetch."""
    check_json_place(json_file)
    if fetch:
        _fetch(fetch, offline="--offline" if offline else "")
        return
    query = " ".join(words or [])
    shown = [
        (one, is_here(one))
        for one in all_entries()
        if (refused or not one.refused) and matches(one, query, family=family, size=size)
    ]
    shown = [(one, is_there) for one, is_there in shown if is_there or not here]
    if not shown:
        typer.echo("No backbone fits. Take fewer words, or leave out --family, --size or --here.")
    else:
        rows = [("model", "family", "licence", "px", "parameters", "to fetch")]
        table([*rows, *(_row(one, is_there) for one, is_there in shown)], left=3)
        for one, _ in shown:
            if one.refused and len(shown) <= 10:
                typer.echo(f"{word_of(one)}: {one.refused}")
        count = "1 backbone" if len(shown) == 1 else f"{len(shown)} backbones"
        typer.echo(f"{count}, {sum(is_there for _, is_there in shown)} on this machine.")
    result = [{**asdict(one), "model": word_of(one), "here": is_there} for one, is_there in shown]
    write_json(json_file, "models", {"models": result})


def word_of(one: BackboneEntry) -> str:
    """What the commands take for a model."""
    return f"{one.name}:{one.weights}" if one.weights else one.name


def _row(one: BackboneEntry, is_there: bool) -> tuple[str, ...]:
    if one.refused:
        state = "not supported"
    elif is_there:
        state = "here"
    else:
        state = f"about {one.download_mb:,} MB" if one.download_mb else "?"
    parameters = f"{one.parameters / 1e6:,.0f} M" if one.parameters else "?"
    return word_of(one), one.family or "-", one.licence or "-", str(one.image_size), parameters, state


def _fetch(word: str, *, offline: str) -> None:
    from advclip_gui.commands.models import backbone_of
    from advclip_gui.engine.download import fetch_weights

    settings = backbone_of(word)
    with Watcher() as watcher:
        path = fetch_weights(settings, control=watcher.control, offline=offline)
    typer.echo(f"{word} is on this machine: {path}")
