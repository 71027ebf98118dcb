"""The small widgets every page is built from: cards, labels, buttons, banners, empty states."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from advclip_gui.gui import theme

Action = tuple[str, Callable[[], object]]
"""A button's text and what it does."""


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property the style sheet looks at and let it look again."""
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class TextLabel(QLabel):
    """A label with a role: display, heading, title, section, muted, caption, number, badge."""

    def __init__(
        self, text: str = "", role: str = "", parent: QWidget | None = None, *, wrap: bool = False
    ) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(wrap)
        if role:
            self.setProperty("role", role)

    def set_role(self, role: str) -> None:
        """Change what the text looks like."""
        set_property(self, "role", role)


class SectionLabel(TextLabel):
    """A small heading above a group of controls."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, "section", parent)


class Muted(TextLabel):
    """Secondary text; wraps."""

    def __init__(self, text: str = "", parent: QWidget | None = None, *, wrap: bool = True) -> None:
        super().__init__(text, "muted", parent, wrap=wrap)


class Badge(TextLabel):
    """A rounded tag; tone "", "accent", "good", "bad" or "warning"."""

    def __init__(self, text: str = "", tone: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, "badge", parent)
        self.setProperty("tone", tone)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def set_tone(self, tone: str) -> None:
        """Change the colour."""
        set_property(self, "tone", tone)


class HLine(QFrame):
    """A hairline."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "line")
        self.setFixedHeight(1)


class Card(QFrame):
    """A rounded surface with an optional title row; put content into `body`, small actions into `header`."""

    def __init__(self, title: str | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        look = theme.current()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(look.l, look.m, look.l, look.l)
        outer.setSpacing(look.m)
        self.title_label = TextLabel(title or "", "title", self)
        self.title_label.setVisible(title is not None)
        self.header = QHBoxLayout()
        self.header.setSpacing(look.s)
        if title is not None:
            self.header.addWidget(self.title_label)
            self.header.addStretch(1)
            outer.addLayout(self.header)
        self.body = QVBoxLayout()
        self.body.setSpacing(look.s)
        outer.addLayout(self.body, 1)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.title_label.setText(title)


def _name_from(text: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in text).split()
    return "".join(word if i == 0 else word.capitalize() for i, word in enumerate(w.lower() for w in words))


class Button(QPushButton):
    """A push button with an icon; kind "", "primary", "danger", "link", "flat" or "tile"."""

    def __init__(
        self,
        text: str,
        icon: str | None = None,
        kind: str = "",
        parent: QWidget | None = None,
        *,
        name: str = "",
        tip: str = "",
    ) -> None:
        super().__init__(text, parent)
        look = theme.current()
        if kind:
            self.setProperty("kind", kind)
        if icon:
            roles = {"primary": "accent_text", "danger": "bad", "link": "accent"}
            self.setIcon(theme.icon(icon, roles.get(kind, "text")))
            self.setIconSize(QSize(look.icon, look.icon))
        self.setObjectName(name or _name_from(text) + "Button")
        self.setAccessibleName(text)
        if tip:
            self.setToolTip(tip)
        if kind == "link":
            self.setCursor(Qt.CursorShape.PointingHandCursor)


class PrimaryButton(Button):
    """The one action a page is about."""

    def __init__(
        self,
        text: str,
        icon: str | None = None,
        parent: QWidget | None = None,
        *,
        name: str = "",
        tip: str = "",
    ) -> None:
        super().__init__(text, icon, "primary", parent, name=name, tip=tip)


class IconButton(QToolButton):
    """A small button with an icon only; the tooltip is its accessible name."""

    def __init__(
        self, icon: str, tip: str, parent: QWidget | None = None, *, name: str = "", role: str = "text"
    ) -> None:
        super().__init__(parent)
        look = theme.current()
        self.setIcon(theme.icon(icon, role))
        self.setIconSize(QSize(look.icon, look.icon))
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setObjectName(name or _name_from(tip) + "Button")

    def set_icon(self, icon: str, role: str = "text") -> None:
        """Change the glyph."""
        self.setIcon(theme.icon(icon, role))


class Stat(QWidget):
    """A small label above a large value, e.g. robust accuracy 61.2 %."""

    def __init__(self, label: str, value: str = "–", parent: QWidget | None = None, *, tip: str = "") -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.current().xs // 2)
        self.label = TextLabel(label, "caption")
        self.value = TextLabel(value, "number")
        self.note = TextLabel("", "caption")
        column.addWidget(self.label)
        column.addWidget(self.value)
        column.addWidget(self.note)
        column.addStretch(1)
        self.note.hide()
        self.setToolTip(tip)
        self.setAccessibleName(label)

    def set_value(self, value: str, note: str = "") -> None:
        """Show a value and, below it, a small note (an interval, a unit)."""
        self.value.setText(value)
        self.note.setText(note)
        self.note.setVisible(bool(note))


class PageHeader(QWidget):
    """Page title, one line below it, and room for actions at the right."""

    def __init__(self, title: str, subtitle: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(look.s)
        text = QVBoxLayout()
        text.setSpacing(look.xs // 2)
        self.title = TextLabel(title, "heading")
        self.subtitle = TextLabel(subtitle, "muted")
        self.subtitle.setVisible(bool(subtitle))
        text.addWidget(self.title)
        text.addWidget(self.subtitle)
        row.addLayout(text)
        row.addStretch(1)
        self.actions = QHBoxLayout()
        self.actions.setSpacing(look.s)
        row.addLayout(self.actions)

    def set_subtitle(self, text: str) -> None:
        """Change the line below the title."""
        self.subtitle.setText(text)
        self.subtitle.setVisible(bool(text))


class EmptyState(QWidget):
    """What a page shows before there is anything to show: a sentence and the next action."""

    def __init__(
        self,
        icon: str,
        title: str,
        text: str = "",
        buttons: Sequence[QWidget] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        look = theme.current()
        column = QVBoxLayout(self)
        column.setSpacing(look.s)
        column.addStretch(1)
        self._icon = QLabel()
        self._icon.setPixmap(theme.icon(icon, "text_disabled").pixmap(QSize(2 * look.xl, 2 * look.xl)))
        self._glyph = icon
        theme.signals().changed.connect(self._repaint_icon)
        self.title = TextLabel(title, "title")
        self.text = Muted(text)
        for label in (self._icon, self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        self._fit()
        row = QHBoxLayout()
        row.setSpacing(look.s)
        row.addStretch(1)
        for button in buttons:
            row.addWidget(button)
        row.addStretch(1)
        column.addSpacing(look.s)
        column.addLayout(row)
        column.addStretch(1)

    def showEvent(self, event: QShowEvent) -> None:
        """Measure the text again: the style sheet's font is known only now."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        # A label that wraps asks for too little height where the layout centres it.
        width = 30 * theme.current().l
        self.text.setFixedWidth(width)
        self.text.setMinimumHeight(max(0, self.text.heightForWidth(width)))

    def _repaint_icon(self) -> None:
        size = 2 * theme.current().xl
        self._icon.setPixmap(theme.icon(self._glyph, "text_disabled").pixmap(QSize(size, size)))


_BANNER_ICONS = {
    "info": ("information-outline", "info"),
    "success": ("check-circle-outline", "good"),
    "warning": ("alert-outline", "warning"),
    "error": ("alert-circle-outline", "bad"),
}


class Banner(QFrame):
    """One sentence where the user stands, with ways out as buttons and details that fold out and copy."""

    dismissed = Signal()

    def __init__(
        self,
        level: str = "info",
        message: str = "",
        details: str = "",
        actions: Sequence[Action] = (),
        parent: QWidget | None = None,
        *,
        closable: bool = True,
    ) -> None:
        super().__init__(parent)
        look = theme.current()
        self.setProperty("role", "banner")
        self.setObjectName("banner")
        self._level = level
        outer = QVBoxLayout(self)
        outer.setContentsMargins(look.m, look.s, look.s, look.s)
        outer.setSpacing(look.s)
        self._row = QHBoxLayout()
        self._row.setSpacing(look.s)
        self._icon = QLabel()
        self._icon.setFixedWidth(look.icon + look.xs)
        self.message_label = TextLabel("", wrap=True)
        self.message_label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        self._row.addWidget(self.message_label, 1)
        self._actions: list[QPushButton] = []
        self.details_button = Button(
            "Details", None, "link", name="bannerDetails", tip="Show the technical details"
        )
        self.details_button.clicked.connect(self._toggle_details)
        self.close_button = IconButton("close", "Dismiss", name="bannerClose")
        self.close_button.clicked.connect(self._dismiss)
        self.close_button.setVisible(closable)
        self._row.addWidget(self.details_button)
        self._row.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        outer.addLayout(self._row)
        self.details_box = QWidget()
        inner = QVBoxLayout(self.details_box)
        inner.setContentsMargins(0, 0, 0, 0)
        self.details_text = QPlainTextEdit()
        self.details_text.setReadOnly(True)
        self.details_text.setFont(look.mono_font(look.caption))
        self.details_text.setMaximumHeight(10 * look.l)
        self.details_text.setAccessibleName("Details")
        copy = Button(
            "Copy details", "content-copy", name="bannerCopy", tip="Copy the details to the clipboard"
        )
        copy.clicked.connect(self._copy)
        inner.addWidget(self.details_text)
        inner.addWidget(copy, 0, Qt.AlignmentFlag.AlignRight)
        outer.addWidget(self.details_box)
        theme.signals().changed.connect(self._paint_icon)
        self.show_message(level, message, details, actions)

    @property
    def level(self) -> str:
        """One of info, success, warning, error."""
        return self._level

    @property
    def message(self) -> str:
        """The sentence shown."""
        return self.message_label.text()

    def show_message(
        self, level: str, message: str, details: str = "", actions: Sequence[Action] = ()
    ) -> None:
        """Replace what is shown; an empty message hides the banner."""
        self._level = level if level in _BANNER_ICONS else "info"
        set_property(self, "level", self._level)
        self._paint_icon()
        self.message_label.setText(message)
        self.setAccessibleName(message)
        self.details_text.setPlainText(details)
        self.details_button.setVisible(bool(details))
        self.details_box.hide()
        for button in self._actions:
            self._row.removeWidget(button)
            button.deleteLater()
        self._actions = []
        for index, (text, act) in enumerate(actions):
            button = Button(text, None, "", name=f"bannerAction{index}")
            button.clicked.connect(act)
            self._row.insertWidget(2 + index, button)
            self._actions.append(button)
        self.setVisible(bool(message))

    def clear(self) -> None:
        """Hide."""
        self.show_message("info", "")

    def _paint_icon(self) -> None:
        glyph, role = _BANNER_ICONS[self._level]
        size = theme.current().icon
        self._icon.setPixmap(theme.icon(glyph, role).pixmap(QSize(size, size)))

    def _toggle_details(self) -> None:
        self.details_box.setVisible(self.details_box.isHidden())

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.message}\n\n{self.details_text.toPlainText()}")

    def _dismiss(self) -> None:
        self.hide()
        self.dismissed.emit()
