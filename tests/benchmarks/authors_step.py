"""One update of the authors' protocol, as the formulas read, against the engine's: time and peak memory.

The slow side is the transcription that the engine is tested against: text tower on 77 tokens, full
product B A, graphs kept while delta moves, a forward pass after each delta step. It is timed twice: with
the gradient of delta alone in the attack, as the formula asks, and with LoRA's taken along and thrown
away, which is what keeping the graphs is for. Each side lives in a process of its own, freshly started;
the processes take turns, so that a machine that grows slower in between slows all of them down. Where
other work competes for the processor, compare processor times, with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _measure import figure, run
from _models import (
    ARCHITECTURE,
    MIB,
    PeakMemory,
    class_names,
    open_clip,
    prepared,
    random_backbone,
    random_model,
    training_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

TRANSCRIPTION = Path(__file__).resolve().parent.parent / "engine" / "released_transcription.py"
SLOW, WASTEFUL = "transcription", "transcription, LoRA's gradient in the attack too"
EPSILON, INNER_STEPS, RANK, DROPOUT = 1 / 255, 2, 2, 0.25
REPEATS_QUICK, REPEATS, STEPS_IN_A_TURN_ON_A_GPU = 2, 5, 5
WARM_UP_STEPS, WARM_UP_STEPS_ON_A_GPU = 1, 5
KEPT_FREE = 2**30


def measure(quick: bool) -> dict[str, Any]:
    """Both protocols of the engine against the transcription, at 10, 100 and 1000 classes.

    A quick run leaves out 1000 classes, the sound protocol and the transcription's second timing.
    """
    from advclip_gui.engine.devices import choose_device, describe_device

    device = choose_device("auto")
    details: dict[str, Any] = {"device": describe_device(device), "model": "ViT-B-32, random weights"}
    if not TRANSCRIPTION.exists():
        return {"figures": {}, "details": details | {"left out": "the transcription is in no installation"}}
    cases = [(classes, 8, "float32") for classes in ((10, 100) if quick else (10, 100, 1000))]
    if device.type == "cuda":
        cases.append((100, 32, "float16"))
    figures: dict[str, Any] = {}
    slow_peaks: dict[int, float] = {}
    for classes, batch_size, precision in cases:
        case = f"{classes} classes" + ("" if batch_size == 8 else f", batch {batch_size}, {precision}")
        sides = [SLOW, "released"]
        if not quick:
            sides += ["sound", *(["sound, compiled"] if device.type == "cuda" else [])]
        if needed := _estimate(slow_peaks, classes):
            free = _free_memory(device)
            if needed + KEPT_FREE > free:
                sides.remove(SLOW)
                details[f"{SLOW}, {case}"] = (
                    f"out of memory: needs about {needed / 2**30:.0f} GiB, {free / 2**30:.0f} are free"
                )
        measured = _case(sides, classes, batch_size, precision, quick)
        figures |= _figures(case, measured)
        if batch_size == 8 and SLOW in measured and measured[SLOW]["whole"]:
            slow_peaks[classes] = measured[SLOW]["whole"]
    return {"figures": figures, "details": details}


def _estimate(peaks: dict[int, float], classes: int) -> float:
    """Bytes for so many classes, on the line through two smaller numbers of them; 0 where unknown."""
    if len(peaks) < 2 or classes <= max(peaks):
        return 0.0
    (few, low), (many, high) = sorted(peaks.items())[:2]
    return high + (high - low) / (many - few) * (classes - many)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def _figures(case: str, measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds and MiB of each side, and how they compare with the transcription's."""
    figures = {}
    for side, values in measured.items():
        figures[f"{side}, {case}"] = figure([1000 * turn["seconds"] for turn in values["turns"]], "ms")
        for key, title in (("above", "peak beyond the model"), ("whole", "peak of the process")):
            if values[key] is not None:
                figures[f"{title}, {side}, {case}"] = figure([values[key] / MIB], "MiB")
    slow = measured.get(SLOW)
    for side, values in measured.items():
        if slow is None or side in {SLOW, WASTEFUL}:
            continue
        for baseline in (name for name in (SLOW, WASTEFUL) if name in measured):
            suffix = baseline.removeprefix(SLOW)
            for key, title in (("seconds", "speed-up"), ("processor", "speed-up in processor time")):
                pairs = zip(measured[baseline]["turns"], values["turns"], strict=True)
                ratios = [theirs[key] / ours[key] for theirs, ours in pairs]
                figures[f"{title}, {side}, {case}{suffix}"] = figure(ratios, "x")
        for key, title in (("above", "peak beyond the model"), ("whole", "peak of the process")):
            if values[key] is not None:
                figures[f"share of the {title}, {side}, {case}"] = figure([values[key] / slow[key]], "x")
    return figures


def _case(
    sides: list[str], classes: int, batch_size: int, precision: str, quick: bool
) -> dict[str, dict[str, Any]]:
    """Start a process for each side, note its peak over its first steps, then let them take turns."""
    workers: dict[str, _Worker] = {}
    try:
        measured = {}
        for side in sides:
            workers[side] = _Worker(side, classes, batch_size, precision)
            measured[side] = workers[side].ask("peak") | {"turns": []}
        if SLOW in workers and not quick:
            measured[WASTEFUL] = {"above": None, "whole": None, "turns": []}
        for _ in range(REPEATS_QUICK if quick else REPEATS):
            for side, values in measured.items():
                question, worker = (side, SLOW) if side == WASTEFUL else ("turn", side)
                values["turns"].append(workers[worker].ask(question))
        return measured
    finally:
        for worker in workers.values():
            worker.close()


class _Worker:
    """A process with one side loaded; it answers each line with a line of JSON."""

    def __init__(self, side: str, *arguments: object) -> None:
        command = [sys.executable, __file__, "--worker", side, *map(str, arguments)]
        self._side = side
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, question: str) -> dict[str, Any]:
        """Wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"the process of side '{self._side}' ended with {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


# In the workers' processes.


def serve(side: str, classes: int, batch_size: int, precision: str) -> None:
    """Load one side and answer "peak", "turn" and `WASTEFUL` (a turn) until the other end closes."""
    import torch

    from advclip_gui.engine.devices import choose_device

    device = choose_device("auto")
    make = _transcription if side == SLOW else _engine
    step = make(side, classes, batch_size, precision, device)
    on_gpu = device.type == "cuda"
    for question in sys.stdin:
        if question.strip() == "peak":
            memory = PeakMemory(device)
            for _ in range(WARM_UP_STEPS_ON_A_GPU if on_gpu else WARM_UP_STEPS):
                float(step(False))
            answer = {"above": memory.above_start(), "whole": memory.whole()}
        else:
            wasteful = question.strip() == WASTEFUL
            steps = STEPS_IN_A_TURN_ON_A_GPU if on_gpu else 1
            if on_gpu:
                torch.cuda.synchronize()
            began, processor_began = time.perf_counter(), time.process_time()
            for _ in range(steps):
                step(wasteful)
            if on_gpu:
                torch.cuda.synchronize()
            answer = {
                "seconds": (time.perf_counter() - began) / steps,
                "processor": (time.process_time() - processor_began) / steps,
            }
        print(json.dumps(answer), flush=True)


def _engine(
    side: str, classes: int, batch_size: int, precision: str, device: torch.device
) -> Callable[[bool], torch.Tensor]:
    """The program's own step: batch, augmentation, attack and update."""
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.devices import keep_freed_memory
    from advclip_gui.engine.trainer import Trainer

    keep_freed_memory()  # as training does
    control = Control()
    protocol, _, compiled = side.partition(", ")
    settings = training_settings(
        protocol, batch_size=batch_size, precision=precision, compile="on" if compiled else "off"
    )
    trainer = Trainer(settings, prepared(random_backbone(device), classes, 4 * batch_size))
    return lambda wasteful: trainer.advance(control, diagnose=False)["loss"]


def _transcription(
    side: str, classes: int, batch_size: int, precision: str, device: torch.device
) -> Callable[[bool], torch.Tensor]:
    """The formulas, on a batch that is already on the device, augmented and normalised."""
    import torch

    formulas = _load_formulas()
    weights = {key: value.to(device) for key, value in random_model().state_dict().items()}
    clip = formulas.Clip(weights, vision_heads=12, text_heads=8)
    texts = [f"a photo of a {name}." for name in class_names(classes)]
    random = torch.Generator().manual_seed(0)
    lora = formulas.new_lora(clip, rank=RANK, alpha=1.0, dropout=DROPOUT, generator=random)
    run_of_formulas = formulas.Run(
        clip=clip,
        lora=lora,
        tokens=open_clip().get_tokenizer(ARCHITECTURE)(texts).to(device),
        delta=torch.zeros(3, 224, 224, device=device),
        epsilon=EPSILON,
        inner_steps=INNER_STEPS,
        updates=500 * 16,
    )
    x = torch.randn(batch_size, 3, 224, 224, generator=random).to(device)
    labels = torch.randint(classes, (batch_size,), generator=random).to(device)

    def step(wasteful: bool) -> torch.Tensor:
        run_of_formulas.all_gradients = wasteful
        with torch.autocast(device.type, dtype=torch.float16, enabled=precision == "float16"):
            loss: torch.Tensor = run_of_formulas.step(x, labels)
        return loss

    return step


def _load_formulas() -> Any:
    specification = importlib.util.spec_from_file_location("released_transcription", TRANSCRIPTION)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look it up there
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        run(measure)
