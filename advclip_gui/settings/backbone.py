"""Which CLIP is adapted."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from advclip_gui.settings.section import Section


class BackboneSettings(Section):
    """Which CLIP is adapted."""

    name: str = Field(
        default="advclip-mini",
        title="Backbone",
        description="A name of the registry, 'hf-hub:owner/repository', or 'local' for files of your own.",
    )
    weights: str = Field(
        default="",
        title="Weights",
        description="Which published weights of the architecture, e.g. openai or laion2b_s34b_b79k.",
    )
    checkpoint: str = Field(
        default="",
        title="Checkpoint file",
        description="With 'local': a .safetensors, .pt or .bin file, or an open_clip or Hugging Face folder.",
    )
    architecture: str = Field(
        default="ViT-B-32",
        title="Architecture",
        description="With a 'local' file: the open_clip model it belongs to; a folder tells by itself.",
    )
    quick_gelu: bool | None = Field(
        default=None,
        title="Quick GELU",
        description="Force QuickGELU on or off; empty follows the weights (OpenAI's use it).",
    )

    @model_validator(mode="after")
    def _local_needs_a_file(self) -> Self:
        if self.name == "local" and not self.checkpoint:
            raise ValueError("backbone 'local' needs a checkpoint file")
        return self
