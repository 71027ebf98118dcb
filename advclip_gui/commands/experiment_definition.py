"""Which experiment a command line means: a preset or a file, and what is changed of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from advclip_gui.engine.errors import SettingsError
from advclip_gui.engine.experiments.definition import METHODS, ExperimentSettings
from advclip_gui.engine.experiments.presets import EXPERIMENTS, PRESET_NAMES, cross_dataset
from advclip_gui.presets import PRESETS
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_definition(
    preset: str,
    config: Path | None,
    data: str,
    recipe: str,
    target: Sequence[str] | None,
    shots: str,
    seeds: str,
    methods: str,
    assignments: Sequence[str] | None,
) -> ExperimentSettings | None:
    """The experiment that is meant; None where only a folder is given.

    Raises:
        typer.BadParameter, SettingsError: the arguments do not fit together, or a value is wrong.
    """
    if preset and config is not None:
        raise typer.BadParameter("give one of --preset and --config, not both.", param_hint="'--preset'")
    values: dict[str, Any] = {}
    for key, text, whole in (("shots", shots, True), ("seeds", seeds, True), ("methods", methods, False)):
        if text:
            values[key] = _parts(text, f"--{key}", whole)
    if data:
        values["base.data.folder"] = data
    if (data or recipe) and not preset and config is None:
        # A folder says enough: the paper's, or the one that other folders belong to.
        preset = "cross-dataset" if target else "paper-few-shot"
    for assignment in assignments or ():
        key, separator, value = assignment.partition("=")
        if not separator:
            raise typer.BadParameter(f"'{assignment}' is not of the form key=value.", param_hint="'--set'")
        values[key.strip()] = value.strip()
    if not preset and config is None:
        if values or target:
            raise typer.BadParameter(
                "an experiment goes on as it was begun; to define a new one, give --data, --preset "
                "or --config.",
                param_hint="'--preset'",
            )
        return None
    if preset and preset not in PRESET_NAMES:
        raise typer.BadParameter(
            f"there is no experiment '{preset}'; take one of {', '.join(PRESET_NAMES)}.",
            param_hint="'--preset'",
        )
    try:
        if preset == "cross-dataset":
            given = cross_dataset(tuple(target or ()))
        else:
            given = EXPERIMENTS[preset] if config is None else ExperimentSettings.from_file(config)
            if target:
                values["targets"] = list(target)
        if recipe:
            given = _with_recipe(given, recipe, free_data="base.data.folder" in values)
        return given.with_values(values)
    except SettingsError as error:
        if config is not None and not values:
            raise
        raise typer.BadParameter(error.message, param_hint="'--preset'") from error


def _with_recipe(given: ExperimentSettings, recipe: str, *, free_data: bool) -> ExperimentSettings:
    """Take another recipe; its length is what robust accuracy is measured at, as in the window."""
    if recipe in PRESETS:
        base = PRESETS[recipe].settings
    elif Path(recipe).suffix == ".toml":
        base = RunSettings.from_file(Path(recipe))
    else:
        known = ", ".join(PRESETS)
        raise typer.BadParameter(
            f"there is no recipe '{recipe}'; take one of {known}, or a settings file.",
            param_hint="'--recipe'",
        )
    if free_data and recipe == "demo":
        base = base.model_copy(update={"data": RunSettings().data})
    how = {"norm": base.monitor.norm, "epsilon": base.monitor.epsilon}
    evaluation = given.evaluation.model_copy(update=how)
    changed = given.model_copy(update={"base": base, "evaluation": evaluation})
    return ExperimentSettings.checked(changed.model_dump(mode="json", exclude_none=True))


def _parts(text: str, option: str, whole: bool) -> list[Any]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or (whole and not all(part.isdecimal() for part in parts)):
        what = "whole numbers, such as 1,2,4" if whole else f"some of {', '.join(METHODS)}"
        raise typer.BadParameter(f"'{text}' are not {what}.", param_hint=f"'{option}'")
    return [int(part) for part in parts] if whole else parts
