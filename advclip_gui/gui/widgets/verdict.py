"""The sentence a probe is about: did the prediction flip? Told by icon, word and colour."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from advclip_gui.gui import theme
from advclip_gui.gui.probe_text import FLIPPED, HELD, NEUTRAL, WRONG, Verdict
from advclip_gui.gui.widgets.basics import Badge
from advclip_gui.gui.widgets.elided_label import ElidedLabel

_LOOKS = {
    FLIPPED: ("swap-horizontal-bold", "adversarial"),
    HELD: ("shield-check-outline", "robust"),
    WRONG: ("alert-outline", "warning"),
    NEUTRAL: ("target", "text_muted"),
}


class VerdictView(QFrame):
    """A wide panel: icon, large sentence, one line beneath, badges at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start with nothing to say."""
        super().__init__(parent)
        self.setObjectName("probeVerdict")
        look = theme.current()
        row = QHBoxLayout(self)
        row.setContentsMargins(look.l, look.s, look.l, look.s)
        row.setSpacing(look.l)
        self._icon = QLabel()
        self._icon.setFixedSize(QSize(look.xxl + look.s, look.xxl + look.s))
        row.addWidget(self._icon)
        texts = QVBoxLayout()
        texts.setSpacing(0)
        self.sentence = ElidedLabel("", "display")
        self.sentence.setObjectName("probeSentence")
        self.note = ElidedLabel("", "muted")
        self.note.setObjectName("probeNote")
        texts.addWidget(self.sentence)
        texts.addWidget(self.note)
        row.addLayout(texts, 1)
        badges = QVBoxLayout()
        badges.setSpacing(look.xs)
        self.sign = Badge("")
        self.sign.setObjectName("probeFlipSign")
        self.survival = Badge("")
        self.survival.setObjectName("probeSurvival")
        for badge in (self.sign, self.survival):
            badges.addWidget(badge, 0, Qt.AlignmentFlag.AlignRight)
        row.addLayout(badges)
        self.setFixedHeight(2 * look.xxl + look.l)
        self._tone = NEUTRAL
        theme.signals().changed.connect(self._paint_icon)
        self.show_verdict(Verdict(NEUTRAL, "", ""))

    @property
    def tone(self) -> str:
        """Of the sentence shown: "flipped", "held", "wrong" or "neutral"."""
        return self._tone

    def show_verdict(self, verdict: Verdict, survival: tuple[str, str, str] | None = None) -> None:
        """Show a sentence.

        Args:
            verdict: what to say.
            survival: text, tone and tooltip about 8-bit saving, None to leave it out.
        """
        self._tone = verdict.tone
        self.sentence.setText(verdict.sentence)
        self.note.setText(verdict.note)
        tones = {FLIPPED: "bad", HELD: "good", WRONG: "warning"}
        self.sign.setText(verdict.sign)
        self.sign.set_tone(tones.get(verdict.tone, ""))
        self.sign.setVisible(bool(verdict.sign))
        text, tone, tip = survival or ("", "", "")
        self.survival.setText(text)
        self.survival.set_tone(tone)
        self.survival.setToolTip(tip)
        self.survival.setVisible(bool(text))
        spoken = ". ".join(part for part in (verdict.sign, verdict.sentence, verdict.note, text) if part)
        self.setAccessibleName(spoken)
        self._paint_icon()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A tinted ground and a strong edge in the tone's colour."""
        look = theme.current()
        role = _LOOKS[self._tone][1]
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(look.qcolor("border"))
        painter.setBrush(look.qcolor("surface"))
        painter.drawRoundedRect(rect, look.radius, look.radius)
        if self._tone != NEUTRAL:
            painter.setPen(look.qcolor(role, 0.55))
            painter.setBrush(look.qcolor(role, 0.14 if look.dark else 0.09))
            painter.drawRoundedRect(rect, look.radius, look.radius)
        painter.end()

    def _paint_icon(self) -> None:
        icon, role = _LOOKS[self._tone]
        self._icon.setPixmap(theme.icon(icon, role).pixmap(self._icon.size()))
