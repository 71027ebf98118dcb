"""The style sheet, generated from the theme's tokens."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from advclip_gui.gui.glyphs import control_mark

if TYPE_CHECKING:
    from advclip_gui.gui.theme import Theme

_SHEET = Template("""
QWidget { color: $text; }
QMainWindow, QDialog { background: $window; }
QToolTip {
    background: $surface_raised; color: $text; border: 1px solid $border_strong; padding: 5px 7px;
}

/* text roles */
QLabel { background: transparent; }
QLabel[role="display"] { font-size: ${display}pt; font-weight: 600; }
QLabel[role="heading"] { font-size: ${heading}pt; font-weight: 600; }
QLabel[role="title"] { font-size: ${title}pt; font-weight: 600; }
QLabel[role="section"] { font-size: ${caption}pt; font-weight: 600; color: $text_muted; }
QLabel[role="muted"] { color: $text_muted; }
QLabel[role="caption"] { font-size: ${caption}pt; color: $text_muted; }
QLabel:disabled { color: $text_disabled; }
QLabel[role="number"] { font-size: ${heading}pt; font-weight: 600; }
QLabel[role="good"] { color: $good; }
QLabel[role="bad"] { color: $bad; }
QLabel[role="warning"] { color: $warning; }
QLabel[role="badge"] {
    font-size: ${caption}pt; color: $text_muted; background: $sunken; border: 1px solid $border;
    border-radius: 8px; padding: 1px 8px; min-height: 14px;
}
QLabel[role="badge"][tone="accent"] { color: $accent; background: $accent_soft; border-color: $accent_soft; }
QLabel[role="badge"][tone="good"] { color: $good; background: $good_soft; border-color: $good_soft; }
QLabel[role="badge"][tone="bad"] { color: $bad; background: $bad_soft; border-color: $bad_soft; }
QLabel[role="badge"][tone="warning"] {
    color: $warning; background: $warning_soft; border-color: $warning_soft;
}

/* containers */
QFrame[role="card"] { background: $surface; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="well"] { background: $sunken; border: 1px solid $border; border-radius: ${radius_small}px; }
QFrame[role="line"] { background: $border; border: none; }
QFrame[role="rail"] { background: $surface; border: none; border-right: 1px solid $border; }
QFrame[role="status"] { background: $surface; border: none; border-top: 1px solid $border; }
QFrame[role="banner"] { border-radius: ${radius}px; border: 1px solid $border; background: $surface; }
QFrame[role="banner"][level="info"] { background: $info_soft; border-color: $info; }
QFrame[role="banner"][level="success"] { background: $good_soft; border-color: $good; }
QFrame[role="banner"][level="warning"] { background: $warning_soft; border-color: $warning; }
QFrame[role="banner"][level="error"] { background: $bad_soft; border-color: $bad; }
QFrame[role="drop"] {
    border: 1px dashed $border_strong; border-radius: ${radius}px; background: transparent;
}
QFrame[role="drop"][active="true"] { border: 2px dashed $accent; background: $accent_soft; }
QScrollArea, QScrollArea > QWidget > QWidget[role="page"] { background: transparent; border: none; }
QStackedWidget { background: transparent; }
QSplitter::handle { background: transparent; }
QSplitter::handle:hover { background: $border; }
QSplitter::handle:horizontal { width: ${s}px; }
QSplitter::handle:vertical { height: ${s}px; }

/* buttons */
QPushButton, QToolButton[kind="plain"] {
    background: $surface; border: 1px solid $border_strong; border-radius: ${radius_small}px;
    padding: 0 ${m}px; min-height: ${inner_height}px;
}
QPushButton:hover, QToolButton[kind="plain"]:hover { background: $sunken; }
QPushButton:pressed, QToolButton[kind="plain"]:pressed { background: $border; }
QPushButton:checked { background: $accent_soft; border-color: $accent; color: $accent; }
QPushButton:focus, QToolButton:focus { border: 1px solid $accent; }
QPushButton:disabled { color: $text_disabled; border-color: $border; background: transparent; }
QPushButton[kind="primary"] {
    background: $accent; border: 1px solid $accent; color: $accent_text; font-weight: 600; padding: 0 ${l}px;
}
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 1px solid $text; }
QPushButton[kind="primary"]:disabled { background: $sunken; border-color: $border; color: $text_disabled; }
QPushButton[kind="danger"] { color: $bad; border-color: $bad; }
QPushButton[kind="danger"]:disabled { color: $text_disabled; border-color: $border; }
QPushButton[kind="link"] {
    background: transparent; border: 1px solid transparent; color: $accent; padding: 0 ${xs}px;
}
QPushButton[kind="link"]:hover { color: $accent_hover; border-bottom: 1px solid $accent_hover; }
QPushButton[kind="link"]:focus { border: 1px solid $accent; }
QPushButton[kind="flat"] { background: transparent; border: 1px solid transparent; padding: 0 ${s}px; }
QPushButton[kind="flat"]:hover { background: $sunken; }
QPushButton[kind="flat"]:focus { border: 1px solid $accent; }
QPushButton[kind="tile"] {
    background: $surface; border: 1px solid $border; border-radius: ${radius}px; padding: 0;
    min-height: ${tile_height}px;
}
QPushButton[kind="tile"]:hover { border-color: $accent; background: $surface; }
QPushButton[kind="tile"]:focus { border-color: $accent; }
QToolButton {
    background: transparent; border: 1px solid transparent; border-radius: ${radius_small}px; padding: 3px;
}
QToolButton:hover { background: $sunken; }
QToolButton:checked { background: $accent_soft; color: $accent; }
QToolButton:disabled { color: $text_disabled; }
QToolButton::menu-indicator { image: none; }
QToolButton[kind="rail"] {
    border: 1px solid transparent; border-radius: ${radius}px; padding: 7px 0 5px 0; font-size: ${caption}pt;
    color: $text_muted;
}
QToolButton[kind="rail"]:hover { background: $sunken; color: $text; }
QToolButton[kind="rail"]:checked { background: $accent_soft; color: $accent; font-weight: 600; }
QToolButton[kind="rail"]:focus { border: 1px solid $accent; }

/* fields */
QLineEdit, QComboBox, QAbstractSpinBox, QPlainTextEdit, QTextEdit {
    background: $surface; border: 1px solid $border_strong; border-radius: ${radius_small}px;
    selection-background-color: $accent; selection-color: $accent_text;
}
QLineEdit, QComboBox, QAbstractSpinBox { min-height: ${inner_height}px; padding: 0 ${s}px; }
QPlainTextEdit, QTextEdit { padding: ${xs}px; }
QLineEdit:focus, QComboBox:focus, QAbstractSpinBox:focus, QPlainTextEdit:focus, QTextEdit:focus {
    border: 1px solid $accent;
}
QLineEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled, QPlainTextEdit:disabled {
    background: $window; color: $text_disabled; border-color: $border;
}
QLineEdit[invalid="true"], QAbstractSpinBox[invalid="true"], QComboBox[invalid="true"],
QPlainTextEdit[invalid="true"] { border: 1px solid $bad; }
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {
    border: none; background: transparent; padding: 0; min-height: 0;
}
QComboBox { padding-right: 22px; }
QComboBox::drop-down { border: none; width: 22px; subcontrol-position: center right; }
QComboBox::down-arrow { image: url("$mark_down"); width: 12px; height: 12px; }
QComboBox::down-arrow:disabled { image: url("$mark_down_disabled"); }
QComboBox QAbstractItemView {
    background: $surface_raised; border: 1px solid $border_strong; outline: none; padding: 3px;
    selection-background-color: $accent_soft; selection-color: $text;
}
QAbstractSpinBox { padding-right: 20px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {
    border: none; width: 18px; background: transparent; subcontrol-origin: border; margin-right: 2px;
}
QAbstractSpinBox::up-button { subcontrol-position: top right; margin-top: 2px; }
QAbstractSpinBox::down-button { subcontrol-position: bottom right; margin-bottom: 2px; }
QAbstractSpinBox::up-arrow { image: url("$mark_up"); width: 10px; height: 10px; }
QAbstractSpinBox::down-arrow { image: url("$mark_down"); width: 10px; height: 10px; }
QAbstractSpinBox::up-arrow:disabled, QAbstractSpinBox::up-arrow:off { image: url("$mark_up_disabled"); }
QAbstractSpinBox::down-arrow:disabled, QAbstractSpinBox::down-arrow:off { image: url("$mark_down_disabled"); }
QCheckBox, QRadioButton { spacing: ${s}px; background: transparent; border: 1px solid transparent; }
QCheckBox:disabled, QRadioButton:disabled { color: $text_disabled; }
QCheckBox::indicator, QRadioButton::indicator {
    width: 14px; height: 14px; border: 1px solid $border_strong; background: $surface;
}
QCheckBox::indicator { border-radius: 4px; }
QRadioButton::indicator { border-radius: 8px; }
QCheckBox::indicator:hover, QRadioButton::indicator:hover { border-color: $accent; }
QCheckBox::indicator:focus, QRadioButton::indicator:focus {
    border: 2px solid $accent; width: 12px; height: 12px;
}
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url("$mark_check"); }
QCheckBox::indicator:indeterminate { background: $accent; border-color: $accent; image: url("$mark_dash"); }
QCheckBox::indicator:checked:focus { border: 2px solid $text; }
QRadioButton::indicator:checked { background: $surface; border: 4px solid $accent; width: 8px; height: 8px; }
QRadioButton::indicator:checked:focus { border-color: $text; }
QCheckBox::indicator:disabled, QRadioButton::indicator:disabled {
    border-color: $border; background: $window;
}
QSlider:horizontal { min-height: 20px; }
QSlider::groove:horizontal { height: 4px; background: $border; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::handle:horizontal {
    background: $surface; border: 2px solid $accent; width: 12px; height: 12px;
    margin: -6px 0; border-radius: 8px;
}
QSlider::handle:horizontal:hover, QSlider::handle:horizontal:focus { background: $accent; }
QSlider::handle:horizontal:disabled { border-color: $border_strong; }
QSlider::sub-page:horizontal:disabled { background: $border; }
QProgressBar {
    background: $sunken; border: none; border-radius: 3px; min-height: 6px;
    max-height: 6px; text-align: center;
}
QProgressBar::chunk { background: $accent; border-radius: 3px; }

/* tables, lists, tabs, menus */
QAbstractItemView {
    background: $surface; alternate-background-color: $sunken; border: 1px solid $border;
    border-radius: ${radius_small}px; gridline-color: $border; outline: none;
    selection-background-color: $accent_soft; selection-color: $text;
}
QFrame[role="card"] QAbstractItemView[frameless="true"] { border: none; border-radius: 0; }
QTableView::item, QTreeView::item { padding: 3px ${s}px; border: none; }
QAbstractItemView::item:hover { background: $sunken; color: $text; }
QAbstractItemView::item:selected { background: $accent_soft; color: $text; }
QHeaderView { background: $surface; border: none; }
QHeaderView::section {
    background: $surface; color: $text_muted; border: none; border-bottom: 1px solid $border;
    padding: 5px ${s}px; font-size: ${caption}pt; font-weight: 600; text-align: left;
}
QHeaderView::up-arrow { image: url("$mark_up"); width: 10px; height: 10px; }
QHeaderView::down-arrow { image: url("$mark_down"); width: 10px; height: 10px; }
QTableCornerButton::section { background: $surface; border: none; }
QTabWidget::pane { border: none; border-top: 1px solid $border; }
QTabBar { background: transparent; }
QTabBar::tab {
    background: transparent; color: $text_muted; padding: 6px ${m}px; border: none;
    border-bottom: 2px solid transparent;
}
QTabBar::tab:hover { color: $text; }
QTabBar::tab:selected { color: $accent; border-bottom: 2px solid $accent; }
QTabBar::tab:focus { color: $text; }
QTabBar::tab:disabled { color: $text_disabled; }
QGroupBox {
    border: 1px solid $border; border-radius: ${radius}px; margin-top: ${l}px;
    padding: ${m}px; background: $surface;
}
QGroupBox::title { subcontrol-origin: margin; left: ${m}px; color: $text_muted; }
QMenuBar { background: $surface; border-bottom: 1px solid $border; padding: 1px ${xs}px; }
QMenuBar::item { background: transparent; padding: 4px ${s}px; border-radius: 4px; }
QMenuBar::item:selected { background: $sunken; }
QMenu { background: $surface_raised; border: 1px solid $border_strong; padding: ${xs}px; }
QMenu::item { padding: 5px ${xl}px 5px ${l}px; border-radius: 4px; }
QMenu::item:selected { background: $accent_soft; color: $text; }
QMenu::item:disabled { color: $text_disabled; }
QMenu::separator { height: 1px; background: $border; margin: ${xs}px ${s}px; }
QMenu::icon { padding-left: ${s}px; }
QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: 11px; }
QScrollBar:horizontal { height: 11px; }
QScrollBar::handle { background: $border_strong; border-radius: 3px; margin: 2px 3px; }
QScrollBar::handle:vertical { min-height: 28px; margin: 2px 2px 2px 3px; }
QScrollBar::handle:horizontal { min-width: 28px; margin: 3px 2px 2px 2px; }
QScrollBar::handle:hover { background: $text_muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
""")


def build_stylesheet(theme: Theme) -> str:
    """Return the application's style sheet for a theme."""
    tokens = {name: getattr(theme, name) for name in theme.__dataclass_fields__}
    for name in ("caption", "body", "title", "heading", "display"):
        tokens[name] = f"{tokens[name]:.1f}"
    return _SHEET.substitute(
        tokens,
        inner_height=theme.control_height - 4,
        tile_height=4 * theme.control_height,
        mark_down=control_mark("down", theme.text_muted),
        mark_up=control_mark("up", theme.text_muted),
        mark_down_disabled=control_mark("down", theme.text_disabled),
        mark_up_disabled=control_mark("up", theme.text_disabled),
        mark_check=control_mark("check", theme.accent_text),
        mark_dash=control_mark("dash", theme.accent_text),
    )
