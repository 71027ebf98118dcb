"""AdvCLIP-LoRA workbench: adversarial few-shot LoRA fine-tuning of CLIP, with a live instrument."""

from __future__ import annotations

__version__ = "0.1.0"
