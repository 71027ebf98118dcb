"""Cyclic garbage is collected in the main thread, and only there."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import QObject, Qt

from advclip_gui.gui import garbage
from advclip_gui.gui.garbage import MainThreadGarbage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot


class Cycle(QObject):
    """An object that only the collector can free."""

    def __init__(self) -> None:
        super().__init__()
        self.me = self


@pytest.fixture
def collector(qapp: Any) -> Iterator[MainThreadGarbage]:
    collector = MainThreadGarbage(lambda: True)
    collector.settle()
    yield collector
    collector.stop()


def drop_a_cycle(died: list[int]) -> None:
    Cycle().destroyed.connect(lambda: died.append(threading.get_ident()), Qt.ConnectionType.DirectConnection)


def test_a_busy_thread_does_not_collect_and_the_main_thread_does(
    qtbot: QtBot, collector: MainThreadGarbage
) -> None:
    died: list[int] = []
    gc.collect()
    drop_a_cycle(died)
    kept: list[list[int]] = []
    worker = threading.Thread(target=lambda: kept.extend([] for _ in range(garbage._BULK // 2)))
    worker.start()
    worker.join()
    assert died == []
    qtbot.waitUntil(lambda: bool(died), timeout=10 * garbage.INTERVAL_MS)
    assert died == [threading.get_ident()]


def test_a_full_collection_waits_for_an_idle_moment(qapp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_FULL_EVERY_S", 0.0)
    idle = [False]
    collector = MainThreadGarbage(lambda: idle[0])
    collector.settle()
    try:
        died: list[int] = []
        old = Cycle()
        old.destroyed.connect(lambda: died.append(1), Qt.ConnectionType.DirectConnection)
        gc.collect(1)  # what survives lands in the oldest generation
        del old
        collector.look()
        assert died == []
        idle[0] = True
        collector.look()
        assert died == [1]
    finally:
        collector.stop()


def test_stopping_gives_collection_back(qapp: Any) -> None:
    assert gc.isenabled()
    collector = MainThreadGarbage(lambda: True)
    assert not gc.isenabled()
    collector.settle()
    assert gc.get_freeze_count() > 0
    collector.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_nothing_is_collected_while_the_engine_loads(qapp: Any) -> None:
    collector = MainThreadGarbage(lambda: True)
    try:
        died: list[int] = []
        drop_a_cycle(died)
        kept: list[list[int]] = [[] for _ in range(20_000)]
        collector.look()
        assert died == []
        assert len(kept) == 20_000
    finally:
        collector.stop()
    gc.collect()
    assert died == [threading.get_ident()]


def test_data_in_bulk_is_left_out_of_collections(collector: MainThreadGarbage) -> None:
    gc.unfreeze()
    rows = [[number] for number in range(garbage._BULK + 1000)]
    collector.look()
    assert gc.get_freeze_count() > len(rows)
    assert gc.get_count()[0] < garbage._BULK
