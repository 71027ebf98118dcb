"""From pixels in [0, 1] to logits: the only place that normalises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.attention import text_tower
from advclip_gui.engine.prompts import fill
from advclip_gui.engine.streamline import read_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from advclip_gui.engine.attention import TextTower
    from advclip_gui.engine.backbones import Backbone


def tokenize(backbone: Backbone, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Tokens (C * T, L) of every template around every class, cut behind the longest prompt if that is exact.

    A causal text tower that reads its answer at the end-of-text token sees nothing behind it. One that
    looks both ways, or reads at a fixed place (SigLIP: the last), gets its full length.
    """
    tokens: Tensor = backbone.tokenizer([text for name in class_names for text in fill(templates, name)])
    tower = text_tower(backbone.model)
    if tower.can_be_cut:
        tokens = tokens[:, : int(_positions(tower, tokens).max()) + 1]
    return tokens.to(backbone.device)


def _positions(tower: TextTower, tokens: Tensor) -> Tensor:
    """Where each prompt's answer is read, (N,) int64."""
    if tower.pool == "argmax":
        return tokens.argmax(dim=-1)
    if tower.pool == "eos":
        return (tokens == tower.eos).int().argmax(dim=-1)
    place = 0 if tower.pool == "first" else tokens.shape[1] - 1
    return torch.full((len(tokens),), place, device=tokens.device)


def encode_tokens(model: Any, tokens: Tensor, classes: int) -> Tensor:
    """L2-normalised text features (C, D): each class's templates averaged, then normalised again.

    Args:
        model: an open_clip CLIP or CustomTextCLIP.
        tokens: (C * T, L), from `tokenize`.
        classes: C.
    """
    tower = text_tower(model)
    text = tower.module
    length = tokens.shape[1]
    x = text.token_embedding(tokens) + text.positional_embedding[:length]
    mask = None if text.attn_mask is None else text.attn_mask[:length, :length]
    x = text.ln_final(read_at(text.transformer, x, _positions(tower, tokens), mask))
    if isinstance(text.text_projection, nn.Linear):
        x = text.text_projection(x)
    elif text.text_projection is not None:
        x = x @ text.text_projection
    features = F.normalize(x.float(), dim=-1).view(classes, -1, x.shape[-1])
    return F.normalize(features.mean(dim=1), dim=-1)


class ClipClassifier(nn.Module):
    """CLIP as a classifier over prompts.

    Attributes:
        class_names: as in the prompts, one for each logit.
        image_size: side of the square input in pixels.
        interpolation: of the resize that makes such an input: "bicubic" or "bilinear".
        resize_mode: "shortest" (then centre crop) or "squash".
    """

    def __init__(self, backbone: Backbone, class_names: Sequence[str], text_features: Tensor) -> None:
        """Wrap a backbone; its image tower is shared, not copied.

        Args:
            backbone: where the image tower, the scale and the normalisation come from.
            class_names: C names.
            text_features: (C, D), L2-normalised.
        """
        super().__init__()
        model = backbone.model
        self.visual: nn.Module = model.visual
        self.class_names = tuple(class_names)
        self.image_size = backbone.image_size
        self.interpolation = backbone.interpolation
        self.resize_mode = backbone.resize_mode
        self.mean: Tensor
        self.std: Tensor
        self.text_features: Tensor
        self.logit_scale: Tensor
        self.register_buffer("mean", torch.tensor(backbone.mean, device=backbone.device).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std, device=backbone.device).view(1, 3, 1, 1))
        self.register_buffer("text_features", text_features.detach())
        # A logit bias (SigLIP) is the same for every class: neither softmax nor argmax sees it.
        self.register_buffer("logit_scale", model.logit_scale.detach().exp().float().reshape(()))

    @property
    def device(self) -> torch.device:
        """Where the classifier computes."""
        return self.text_features.device

    def normalise(self, pixels: Tensor) -> Tensor:
        """What the image tower takes, of pixels in [0, 1]."""
        return (pixels - self.mean) / self.std

    def encode(self, pixels: Tensor) -> Tensor:
        """L2-normalised image features (N, D), float32, of pixels (N, 3, H, W) in [0, 1]."""
        return F.normalize(self.visual(self.normalise(pixels)).float(), dim=-1)

    def logits(self, pixels: Tensor, text_features: Tensor) -> Tensor:
        """Scaled logits (N, C), float32, against the given text features (C, D)."""
        return self.logit_scale * self.encode(pixels) @ text_features.t()

    def forward(self, pixels: Tensor) -> Tensor:
        """Scaled logits (N, C), float32, of pixels (N, 3, H, W) in [0, 1]."""
        return self.logits(pixels, self.text_features)


def build_classifier(
    backbone: Backbone, class_names: Sequence[str], templates: Sequence[str]
) -> ClipClassifier:
    """Encode the prompts as the model stands now, without gradients."""
    with torch.no_grad():
        tokens = tokenize(backbone, class_names, templates)
        features = encode_tokens(backbone.model, tokens, len(class_names))
    return ClipClassifier(backbone, class_names, features)


def to_pixels(images: Any, device: torch.device) -> Tensor:
    """uint8 numpy (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1] on `device`."""
    writable = np.require(images, requirements="W")  # copies only what torch could not share
    return torch.from_numpy(writable).to(device).permute(0, 3, 1, 2).float().div(255)
