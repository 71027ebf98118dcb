"""What the Train page says before anything has been trained, and a run in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from advclip_gui.engine.catalog import entry
from advclip_gui.engine.errors import BackboneError
from advclip_gui.gui.widgets.basics import Button, EmptyState, PrimaryButton
from advclip_gui.gui.widgets.probe_panel import fit_text
from advclip_gui.settings import DEMO_FOLDER
from advclip_gui.wording import norm_text

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from advclip_gui.gui.workspace import Workspace
    from advclip_gui.settings import RunSettings


class TrainEmpty(EmptyState):
    """A sentence and the next action, as far as things have got."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make the buttons."""
        self.start_button = PrimaryButton(
            "Start training", "play", name="emptyStart", tip="Train with a copy of the recipe."
        )
        self.recipe_button = Button(
            "Go to Recipe", "tune-variant", name="emptyRecipe", tip="See and change every setting."
        )
        self.demo_button = PrimaryButton(
            "Try the demo",
            "flask-outline",
            name="emptyDemo",
            tip="Bundled photos, bundled backbone, offline.",
        )
        self.data_button = Button(
            "Open images", "folder-open-outline", name="emptyData", tip="Go to the Data page."
        )
        buttons = (self.recipe_button, self.data_button, self.demo_button, self.start_button)
        super().__init__("chart-line", "Nothing has been trained yet", "", buttons, parent)

    def show_state(self, workspace: Workspace, missing: str) -> None:
        """Say what stands between the user and a run."""
        scanning, there = workspace.scanning is not None, workspace.scan is not None
        self.start_button.setVisible(there or scanning)
        self.start_button.setEnabled(not missing)
        self.recipe_button.setVisible(there or scanning)
        self.demo_button.setVisible(not there and not scanning)
        self.data_button.setVisible(not there and not scanning)
        if there and not missing:
            settings = workspace.settings
            title = "Ready to train"
            text = (
                f"{settings.method}: {settings.total_steps:,} steps on {settings.data.shots} images of each "
                f"of {len(workspace.class_names())} classes. Clean and robust accuracy will move here, "
                "with the zero-shot model as a dashed line."
            )
        elif scanning:
            title, text = "The images are being scanned", "Training can start as soon as they are known."
        elif there:
            title, text = "Training cannot start", missing
        else:
            title = "Nothing has been trained yet"
            text = "Open a folder of images, or take the demo: it needs no network and no GPU."
        if (self.title.text(), self.text.text()) != (title, text):
            self.title.setText(title)
            self.text.setText(text)
            fit_text(self)


def run_subtitle(settings: RunSettings) -> str:
    """Name, method, protocol, images and backbone of a run."""
    folder = settings.data.folder
    images = "demo photos" if folder == DEMO_FOLDER else Path(folder).name
    try:
        backbone = entry(settings.backbone).title
    except BackboneError:
        backbone = settings.backbone.name
    if settings.backbone.name == "local":
        backbone = f"{settings.backbone.architecture} ({Path(settings.backbone.checkpoint).name})"
    inner = f", m = {settings.adversary.inner_steps}" if settings.adversary.inner_steps else ""
    parts = [
        f"{settings.method}{inner}",
        f"{settings.protocol} protocol, {norm_text(settings.monitor.norm)}",
        f"{images}, {settings.data.shots} shots",
        backbone,
    ]
    return " · ".join([settings.name, *parts] if settings.name else parts)
