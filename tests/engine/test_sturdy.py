"""Killed at any moment, a run can be read and resumed, and ends with the very same adapter."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from advclip_gui.engine.control import Control
from advclip_gui.engine.run_list import list_runs
from advclip_gui.engine.runs import RunFolder
from advclip_gui.engine.training import train
from advclip_gui.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
AT_START = 4
"""Kills while the run is prepared; the others come a few steps into it."""
WEIGHTS = "adapter/adapter_model.safetensors"


def train_in_child(settings: str, run_dir: Path, resume: bool, turns: Any) -> None:
    """Begin or go on; count every turn of the loop where the parent sees it."""
    import torch

    torch.set_num_threads(1)  # in every process the same: sums are rounded by the order of threads

    def count() -> None:
        turns.value += 1

    train(RunSettings.from_toml(settings), control=Control(serve=count), run_dir=run_dir, resume=resume)


@pytest.fixture(scope="module")
def processes() -> Any:
    """Real processes that share one import of torch, which would take most of the test's time."""
    if sys.platform == "win32":
        pytest.skip("there is no fork server and no SIGKILL")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["advclip_gui.engine.training"])
    return context


@pytest.mark.slow  # twenty processes, each of which loads a backbone and trains a little
def test_twenty_kills_cost_nothing_but_time(small_run: RunSettings, tmp_path: Path, processes) -> None:
    settings = small_run.with_values(
        {
            "training.steps": 60,
            "training.keep_best": True,
            "monitor.every": 7,
            "monitor.images": 3,
            "monitor.final_images": 0,
            "monitor.checkpoint_every": 3,
            "lora.encoder": "vision",
        }
    )
    run, numbers = tmp_path / "runs" / "run", random.Random(0)
    reached, hit_while_training = [], 0
    for number in range(KILLS):
        resume = (run / "settings.toml").exists()
        turns = processes.Value("i", 0)
        child = processes.Process(target=train_in_child, args=(settings.to_toml(), run, resume, turns))
        child.start()
        enough = 0 if number < AT_START else numbers.randint(1, 5)
        moment = threading.Event()
        while turns.value < enough and child.is_alive():
            moment.wait(0.002)
        moment.wait(numbers.uniform(0, 2.0 if number < AT_START else 0.06))
        os.kill(child.pid, signal.SIGKILL)
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        hit_while_training += turns.value > 0
        # Whatever moment it was: what is there is whole, and says that it was cut off.
        assert all(summary.state == "interrupted" for summary in list_runs(run.parent))
        reached.append(max((record["step"] for record in RunFolder(run).metrics()), default=0))
    assert hit_while_training >= KILLS - AT_START
    assert reached[-1] > 3  # it came past a checkpoint all the same
    for folder, resume in ((run, True), (tmp_path / "whole", False)):
        turns = processes.Value("i", 0)
        child = processes.Process(target=train_in_child, args=(settings.to_toml(), folder, resume, turns))
        child.start()
        child.join(300)
        assert child.exitcode == 0
    assert (run / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    ours, theirs = (
        [record for record in RunFolder(folder).metrics() if record["event"] == "eval"]
        for folder in (run, tmp_path / "whole")
    )
    assert ours == theirs
