"""`advclip-gui adapters`: the library of adapters: list, open, import, rename, annotate, remove, put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advclip_gui.commands.options import (
    ArchitectureOption,
    CheckpointOption,
    DebugOption,
    JsonOption,
    check_json_place,
    names,
)
from advclip_gui.commands.output import table, write_json
from advclip_gui.settings import BackboneSettings, DataSettings

if TYPE_CHECKING:
    from advclip_gui.engine.adapter_library import AdapterLibrary, LibraryAdapter

adapters = typer.Typer(
    help="Keep adapters at hand: list, open, import, rename, annotate, remove and put back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AdapterArgument = Annotated[
    str,
    typer.Argument(metavar="ADAPTER", help="Its name or key as 'adapters list' shows it, or how one begins."),
]
NameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it.")]
RootOption = Annotated[
    Path | None, typer.Option("--root", metavar="DIR", help="Another library than the usual one.")
]


@adapters.command("list")
def list_command(
    removed: Annotated[bool, typer.Option("--removed", help="Those in the library's bin instead.")] = False,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """List the adapters, the one added last first."""
    check_json_place(json_file)
    library = _library(root)
    found = library.removed() if removed else library.adapters()
    if found:
        head = ("key", "name", "backbone", "classes", "folder")
        told = [one.problem or str(one.folder) for one in found]
        rows = [
            (one.key, one.name, _backbone(one), _classes(one), what)
            for one, what in zip(found, told, strict=True)
        ]
        table([head, *rows], left=5)
    else:
        typer.echo("There are no adapters in the bin." if removed else "There are no adapters yet.")
    write_json(json_file, "adapters list", {"adapters": [_as_json(one) for one in found]})


@adapters.command("open")
def open_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A run folder, or a folder written by export.")
    ],
    name: NameOption = "",
    checkpoint: CheckpointOption = "",
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Name a folder in the library; it stays where it is."""
    check_json_place(json_file)
    at = str(Path(checkpoint).expanduser().absolute()) if checkpoint else ""
    _tell("open", _library(root).open_folder(folder, name, checkpoint=at), json_file)


@adapters.command("import")
def import_command(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A peft folder, or a .pt file of the CLIP-LoRA scripts.")
    ],
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone", metavar="NAME", help="What it was trained on: NAME[:WEIGHTS], a file or a folder."
        ),
    ],
    classes: Annotated[
        str, typer.Option("--classes", metavar="A,B", help="Names of its classes, in the order of training.")
    ],
    template: Annotated[
        list[str] | None,
        typer.Option("--template", metavar="TEXT", help="Prompt with {} for the class; may be repeated."),
    ] = None,
    architecture: ArchitectureOption = "",
    name: NameOption = "",
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Copy an adapter of another program into the library; nothing in the file is run."""
    check_json_place(json_file)
    from advclip_gui.commands.watcher import Watcher

    class_names = names(classes, "--classes")
    settings = _named_backbone(backbone, architecture)
    with Watcher() as watcher:
        one = _library(root).import_file(
            path,
            backbone=settings,
            class_names=class_names,
            templates=tuple(template or DataSettings().templates),
            name=name,
            control=watcher.control,
        )
    _tell("import", one, json_file)


@adapters.command("rename")
def rename_command(
    adapter: AdapterArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Give an adapter another name."""
    check_json_place(json_file)
    library = _library(root)
    _tell("rename", library.rename(library.get(adapter).key, name), json_file)


@adapters.command("note")
def note_command(
    adapter: AdapterArgument,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The note; '' takes it away. Left out, the note is shown."),
    ] = None,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Show or replace what is noted about an adapter; its folder stays as it is."""
    check_json_place(json_file)
    library = _library(root)
    one = library.get(adapter)
    if text is not None:
        one = library.set_note(one.key, text)
    typer.echo(one.note or "There is no note.")
    write_json(json_file, "adapters note", _as_json(one))


@adapters.command("remove")
def remove_command(
    adapter: AdapterArgument,
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Move an adapter to the library's bin; an opened folder stays where it is."""
    check_json_place(json_file)
    library = _library(root)
    one = library.get(adapter)
    library.remove(one.key)
    typer.echo(f"'{one.name}' is in the bin. To take it out: advclip-gui adapters restore {one.key}")
    write_json(json_file, "adapters remove", {"key": one.key, "name": one.name})


@adapters.command("restore")
def restore_command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As 'adapters list --removed' shows it.")],
    root: RootOption = None,
    json_file: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Take an adapter out of the bin again."""
    check_json_place(json_file)
    _tell("restore", _library(root).put_back(key), json_file)


def _library(root: Path | None) -> AdapterLibrary:
    from advclip_gui.engine.adapter_library import AdapterLibrary

    return AdapterLibrary(root)


def _named_backbone(word: str, architecture: str) -> BackboneSettings:
    """The backbone of a word: a file or folder on this machine, or a name of the registry."""
    from advclip_gui.commands.models import backbone_of

    path = Path(word).expanduser()
    if not path.exists():
        return backbone_of(word)
    local = BackboneSettings(name="local", checkpoint=str(path.absolute()))
    return local.model_copy(update={"architecture": architecture}) if architecture else local


def _tell(command: str, one: LibraryAdapter, json_file: Path | None) -> None:
    typer.echo(f"'{one.name}' ({_backbone(one)}, {_classes(one)} classes)\n{one.folder}\n")
    typer.echo(f"To use it: advclip-gui evaluate '{one.name}' --data FOLDER")
    write_json(json_file, f"adapters {command}", _as_json(one))


def _backbone(one: LibraryAdapter) -> str:
    if one.info is None:
        return "-"
    backbone = one.info.backbone
    return f"{backbone.name}:{backbone.weights or Path(backbone.checkpoint).name}".rstrip(":")


def _classes(one: LibraryAdapter) -> str:
    return "-" if one.info is None else str(len(one.info.class_names))


def _as_json(one: LibraryAdapter) -> dict[str, Any]:
    info = one.info
    return {
        "key": one.key,
        "name": one.name,
        "folder": one.folder,
        "in_place": one.in_place,
        "added": one.added,
        "problem": one.problem,
        "note": one.note,
        "backbone": None if info is None else info.backbone.model_dump(mode="json"),
        "class_names": None if info is None else info.class_names,
        "templates": None if info is None else info.templates,
    }
