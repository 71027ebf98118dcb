"""Where a training step of ViT-B/32 spends its time, and how near it comes to the matrix-multiply peak."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from _measure import QUICK_REPEATS, REPEATS, figure, run, seconds
from _models import prepared, random_backbone, training_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

BATCH_SIZE, TOP = 8, 10
_SIDE = {"cpu": 2048, "cuda": 8192}
_PEAK_RUNS = 10


def measure(quick: bool) -> dict[str, Any]:
    """Profile the sound protocol's update, universal perturbation, m = 2, both towers."""
    import torch

    from advclip_gui.engine.control import Control
    from advclip_gui.engine.devices import choose_device, describe_device, keep_freed_memory
    from advclip_gui.engine.trainer import Trainer

    keep_freed_memory()  # as training does
    device, control = choose_device("auto"), Control()
    classes, steps = (10, 2) if quick else (100, 5)
    on_gpu = device.type == "cuda"
    batch_size, precision = (32, "float16") if on_gpu else (BATCH_SIZE, "float32")
    settings = training_settings("sound", batch_size=batch_size, precision=precision)
    trainer = Trainer(settings, prepared(random_backbone(device), classes, 4 * batch_size))

    def step() -> None:
        float(trainer.advance(control, diagnose=False)["loss"])  # reading it waits for the device

    step()
    step()
    peak = _matmul_peak(device, torch.float16 if on_gpu else torch.float32)
    taken = seconds(step, QUICK_REPEATS if quick else REPEATS)
    peak = max(peak, _matmul_peak(device, torch.float16 if on_gpu else torch.float32))
    work = _flops(step)
    rows = _profile(step, steps, on_gpu)
    achieved = [work / value for value in taken]
    print(f"{'operation':<56}{'share':>8}{'ms/step':>10}{'calls':>8}")
    for row in rows:
        print(f"{row['operation'][:55]:<56}{row['share']:>7.1%}{row['ms']:>10.1f}{row['calls']:>8.0f}")
    print(f"{work / 1e9:.1f} GFLOP a step; {peak / 1e9:.0f} GFLOP/s in a large matrix product")
    return {
        "figures": {
            "step": figure([1000 * value for value in taken], "ms"),
            "arithmetic of a step": figure([work / 1e9], "GFLOP"),
            "matrix-multiply peak": figure([peak / 1e9], "GFLOP/s"),
            "share of that peak": figure([100 * value / peak for value in achieved], "%"),
        },
        "details": {
            "device": describe_device(device),
            "threads": torch.get_num_threads(),
            "step": f"{classes} classes, batch {batch_size}, {precision}",
            "top operations": rows,
        },
    }


def _matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of several large matrix products."""
    import torch

    side = _SIDE.get(device.type, 2048)
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty(side, side, device=device, dtype=dtype)
    best = 0.0
    for _ in range(_PEAK_RUNS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(left, right, out=out)
        _wait(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _flops(step: Callable[[], None]) -> int:
    """Floating-point operations of the matrix products, attention and convolutions of a step."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def _profile(step: Callable[[], None], steps: int, on_gpu: bool) -> list[dict[str, Any]]:
    """The operations with the most time of their own, as shares of all operations' time."""
    import torch
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            step()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: getattr(event, key), reverse=True)
    total = sum(getattr(event, key) for event in events)
    return [
        {
            "operation": event.key,
            "share": getattr(event, key) / total,
            "ms": getattr(event, key) / 1000 / steps,
            "calls": event.count / steps,
        }
        for event in events[:TOP]
    ]


if __name__ == "__main__":
    run(measure)
