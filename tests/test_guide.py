"""The user guide keeps step with the program: settings, defaults, presets, commands and links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import typer
from pydantic import BaseModel

from advclip_gui.__main__ import COMMANDS
from advclip_gui.cli import app
from advclip_gui.engine.catalog import CATALOG
from advclip_gui.engine.resources import resource_path
from advclip_gui.presets import PRESETS
from advclip_gui.settings import RunSettings, format_epsilon

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = sorted(resource_path("guide").glob("*.md"))


def text(name: str) -> str:
    return (resource_path("guide") / name).read_text(encoding="utf-8")


def recipe_rows() -> dict[str, list[str]]:
    """Dotted key -> cells of its row in recipe.md."""
    rows, prefix = {}, ""
    for line in text("recipe.md").splitlines():
        if line.startswith("## "):
            section = re.search(r"\(`(\w+\.)`", line)
            prefix = section[1] if section else ""
        elif line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[prefix + cells[0].strip("`")] = cells
    return rows


def settings() -> Iterator[tuple[str, str, Any]]:
    """Dotted key, title and default of every setting."""
    for name, info in RunSettings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for key, field in kind.model_fields.items():
                default = field.get_default(call_default_factory=True)
                yield f"{name}.{key}", field.title or "", default
        else:
            yield name, info.title or "", info.default


def shown(key: str, default: Any) -> str:
    """How recipe.md writes a default."""
    if key.endswith(("epsilon", "step_size")):
        return format_epsilon(default)
    if isinstance(default, bool):
        return "on" if default else "off"
    if default is None:
        return "automatic"
    if isinstance(default, tuple) and key == "lora.matrices":
        return ", ".join(default)
    if default in ("", (), {}):
        return "empty"
    return str(default[0] if isinstance(default, tuple) else default)


def test_every_setting_is_explained_with_its_default() -> None:
    rows = recipe_rows()
    assert set(rows) == {key for key, _, _ in settings()}
    for key, title, default in settings():
        _, told_title, told_default, meaning, when = rows[key]
        assert (key, told_title, told_default.strip("`")) == (key, title, shown(key, default))
        assert meaning.endswith("."), key
        assert when.endswith("."), key


def test_every_preset_is_named() -> None:
    for preset in PRESETS.values():
        assert f"*{preset.title}*" in " ".join(text("recipe.md").split())


def test_every_published_backbone_is_named() -> None:
    for known in CATALOG:
        assert f"`{known.name}`" in text("recipe.md")
        assert f"`{known.weights}`" in text("recipe.md") or not known.weights


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)", text("command-line.md"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_every_page_is_reached_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text("index.md")))
    assert linked | {"index.md"} == {page.name for page in PAGES}


def test_pages_are_short_and_their_links_lead_somewhere() -> None:
    for page in PAGES:
        content = page.read_text(encoding="utf-8")
        assert len(content.splitlines()) <= 120, page.name
        assert content.startswith("# "), page.name
        for target in re.findall(r"\]\(([^)]+)\)", content):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_options_in_examples_exist() -> None:
    """Every `--option` of an example is one of its command's."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for page in PAGES:
        content = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for name, rest in re.findall(r"advclip-gui ([a-z]+)([^\n`]*)", content):
            command = commands[name]
            if hasattr(command, "commands") and rest.split()[:1]:
                command = command.commands.get(rest.split()[0].strip("`,"), command)
            known = {option for parameter in command.params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, f"{page.name}: {name}{rest}"


def test_the_example_recipe_is_valid() -> None:
    blocks = re.findall(r"((?:^    .*\n|^\n)+)", text("command-line.md"), flags=re.MULTILINE)
    example = next(block for block in blocks if "[data]" in block)
    recipe = RunSettings.from_toml("\n".join(line.strip() for line in example.splitlines()))
    assert recipe.adversary.epsilon == pytest.approx(2 / 255)
