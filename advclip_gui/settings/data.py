"""Which images, how many of them, and the words around them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from advclip_gui.settings.section import Section

DEMO_FOLDER = "demo"
"""The data folder's name for the bundled images."""


LayoutName = Literal["auto", "folders", "coop", "fgvc", "imagenet", "list"]
ClassPart = Literal["all", "base", "new"]


class DataSettings(Section):
    """Which images, and how many of them."""

    folder: str = Field(
        default=DEMO_FOLDER,
        title="Image folder",
        description="A folder with one sub-folder per class, with or without train / val / test; a zip of "
        "one; or a list of images.",
    )
    layout: LayoutName = Field(
        default="auto",
        title="Layout",
        description="How the images lie on disk; auto recognises class folders, CoOp's and FGVC's lists, "
        "ImageNet's synsets, and lists.",
    )
    classes: ClassPart = Field(
        default="all",
        title="Classes",
        description="All, or one half in label order: base or new classes.",
    )
    shots: int = Field(default=16, ge=1, le=1024, title="Shots", description="Training images per class.")
    val_shots: int = Field(
        default=4,
        ge=0,
        le=1024,
        title="Validation shots",
        description="Images per class that only watch the training; at most as many as shots.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, title="Split seed", description="Chooses the few-shot sample."
    )
    split_file: str = Field(
        default="",
        title="Split list",
        description="A saved list (CSV or JSON) to take the sample from, instead of drawing one.",
    )
    templates: tuple[str, ...] = Field(
        default=("a photo of a {}.",),
        min_length=1,
        title="Prompt templates",
        description="Sentences with {} for the class name; several are averaged.",
    )
    class_names: dict[str, str] = Field(
        default_factory=dict,
        title="Class names",
        description="Folder name to the name used in the prompt, where they differ.",
    )
    skip: tuple[str, ...] = Field(
        default=(), title="Skipped files", description="Relative paths that are left out of the data."
    )

    @field_validator("templates")
    @classmethod
    def _templates_have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(
                    f"the template '{template}' needs exactly one {{}} where the class name goes"
                )
        return templates
