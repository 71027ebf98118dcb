"""What a page needs around it: file pool, device with a quick session, workspace; and image folders."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from advclip_gui.gui import theme
from advclip_gui.gui.bridge import Backend
from advclip_gui.gui.io_thread import IoPool
from advclip_gui.gui.workspace import Workspace
from tests import bad_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from advclip_gui.settings import RunSettings


class QuickSession:
    """Answers at once, and remembers what it was asked."""

    device_text = "Test device"

    def __init__(self) -> None:
        self.described: list[tuple[RunSettings, int]] = []

    def describe(self, settings: RunSettings, _control: Any, *, classes: int = 10) -> Any:
        self.described.append((settings, classes))
        return SimpleNamespace(
            trainable_parameters=184_320 * settings.lora.rank // 2,
            total_steps=settings.total_steps,
            estimated_memory_mb=900,
            estimated_seconds=100.0,
            image_size=32,
        )


@dataclass
class Room:
    """The parts a page is made with."""

    workspace: Workspace
    backend: Backend
    io: IoPool
    session: QuickSession
    notes: list[tuple[str, str]]
    visited: list[str]


@contextmanager
def page_room(qapp: Any) -> Iterator[Room]:
    """Make a room and clear it up."""
    theme.apply(qapp, "light")
    io, session = IoPool(), QuickSession()
    backend = Backend(lambda: session)
    workspace = Workspace(backend, io)
    room = Room(workspace, backend, io, session, [], [])
    workspace.notify.connect(lambda level, message, _details: room.notes.append((level, message)))
    workspace.navigate.connect(room.visited.append)
    try:
        yield room
    finally:
        backend.shut_down()
        io.shut_down()


def image_tree(root: Path, classes: tuple[str, ...] = ("cat", "dog", "red_fox"), images: int = 6) -> Path:
    """Write a class-per-folder tree of different images, without splits."""
    for position, name in enumerate(classes):
        for number in range(images):
            bad_images.good_jpeg(root / name / f"{number:02}.jpg", seed=100 * position + number)
    return root
