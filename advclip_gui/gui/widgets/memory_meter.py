"""Device, processor and memory in use; asks only while it is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QGridLayout, QProgressBar, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.jobs import CallJob
from advclip_gui.gui.widgets.basics import TextLabel
from advclip_gui.gui.widgets.elided_label import ElidedLabel

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QShowEvent

    from advclip_gui.engine.control import Control
    from advclip_gui.gui.bridge import Backend
    from advclip_gui.gui.job_handle import JobHandle

_EVERY_MS = 1500
_PER_MILLE = 1000
_GB = 1e9
_ROWS = (
    ("cpu", "CPU", "Processor time in use on this machine."),
    ("memory", "Memory", "Memory of this machine in use; the part of this program is in the tooltip."),
    ("device", "GPU", "Memory of the accelerator in use."),
)


class MemoryMeter(QWidget):
    """The device's name above one bar each for processor, memory and, where there is one, accelerator."""

    def __init__(self, backend: Backend, parent: QWidget | None = None) -> None:
        """Measure when shown."""
        super().__init__(parent)
        look = theme.current()
        self._backend = backend
        self._process = psutil.Process()
        self._asked: JobHandle | None = None
        self.device = ElidedLabel("", "caption")
        self.device.setObjectName("meterDevice")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(look.s)
        grid.setVerticalSpacing(look.xs // 2)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.device, 0, 0, 1, 3)
        self._parts: dict[str, tuple[TextLabel, QProgressBar, TextLabel]] = {}
        for row, (key, title, tip) in enumerate(_ROWS, start=1):
            bar = QProgressBar()
            bar.setTextVisible(False)
            bar.setRange(0, _PER_MILLE)
            bar.setObjectName(f"meter.{key}")
            bar.setAccessibleName(f"{title} in use")
            parts = (TextLabel(title, "caption"), bar, TextLabel("", "caption"))
            for column, part in enumerate(parts):
                part.setToolTip(tip)
                grid.addWidget(part, row, column)
            self._parts[key] = parts
        self._show_row("device", visible=False)
        self._timer = QTimer(self)
        self._timer.setObjectName("memoryMeter")
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.measure)
        backend.engine_ready.connect(self._name_device)
        self._name_device(backend.device_text)

    @property
    def running(self) -> bool:
        """Whether it asks the system again and again."""
        return self._timer.isActive()

    def text(self, key: str) -> str:
        """What stands beside a bar: "cpu", "memory" or "device"."""
        return self._parts[key][2].text()

    def measure(self) -> None:
        """Ask the system now; an accelerator answers between two training steps."""
        share = psutil.cpu_percent(None) / 100
        self._show("cpu", share, f"{100 * share:.0f} %")
        machine = psutil.virtual_memory()
        own = self._process.memory_info().rss
        used = machine.total - machine.available
        self._show("memory", used / machine.total, f"{used / _GB:.1f} of {machine.total / _GB:.0f} GB")
        tip = f"{own / _GB:.2f} GB of it belong to this program."
        for part in self._parts["memory"]:
            part.setToolTip(tip)
        if self._has_accelerator() and self._asked is None:
            self._asked = self._backend.submit(CallJob(_device_memory, title=""))
            self._asked.finished.connect(self._on_device_memory)
            self._asked.ended.connect(self._on_asked)

    def showEvent(self, event: QShowEvent) -> None:
        """Begin to ask."""
        super().showEvent(event)
        self.measure()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Cease to ask."""
        self._timer.stop()
        super().hideEvent(event)

    def _has_accelerator(self) -> bool:
        return self._backend.ready and not self._backend.device_text.startswith("CPU")

    def _name_device(self, text: str) -> None:
        self.device.setText(text or "The engine is loading …")

    def _on_device_memory(self, answer: tuple[int, int] | None) -> None:
        if answer is not None:
            used, total = answer
            self._show("device", used / total, f"{used / _GB:.1f} of {total / _GB:.0f} GB")
        self._show_row("device", visible=answer is not None)

    def _on_asked(self) -> None:
        self._asked = None

    def _show(self, key: str, share: float, text: str) -> None:
        _title, bar, label = self._parts[key]
        bar.setValue(round(_PER_MILLE * min(max(share, 0.0), 1.0)))
        label.setText(text)

    def _show_row(self, key: str, *, visible: bool) -> None:
        for part in self._parts[key]:
            part.setVisible(visible)


def _device_memory(_session: Any, _control: Control) -> tuple[int, int] | None:
    """Bytes in use and in all of the accelerator; None where it does not tell. Runs on the GPU thread."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free, total
