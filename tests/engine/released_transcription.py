"""The released protocol, formula by formula and as slowly as it reads: what the engine is held to.

Nothing here comes from the engine, and nothing is saved on the way: the product B A is formed in full,
the text tower reads all 77 tokens, graphs are kept while delta moves, and every delta step is followed
by a forward pass. Images x are normalised (N, 3, H, W); delta is (3, H, W) in the same units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

SCALE = 100.0
"""The logit factor s of the training loss."""


@dataclass(frozen=True)
class Clip:
    """An open_clip CLIP as a plain state dict (fused ``in_proj_weight``), with erf GELU."""

    weights: Mapping[str, Tensor]
    vision_heads: int
    text_heads: int

    def depth(self, tower: str) -> int:
        """Blocks of a tower; "visual." and "" are its prefixes."""
        prefix = f"{tower}transformer.resblocks."
        return len({k.removeprefix(prefix).split(".")[0] for k in self.weights if k.startswith(prefix)})


@dataclass
class Lora:
    """A (r, in) and B (out, r) of every adapted projection, by e.g. "transformer.resblocks.0.attn.q"."""

    a: dict[str, Tensor]
    b: dict[str, Tensor]
    gamma: float
    dropout: float = 0.0

    def parameters(self) -> list[Tensor]:
        """Every A, then every B."""
        return [*self.a.values(), *self.b.values()]


def scaling(alpha: float, rank: int) -> float:
    """Gamma = alpha / sqrt(r)."""
    return alpha / math.sqrt(rank)


def new_lora(clip: Clip, *, rank: int, alpha: float, dropout: float, generator: torch.Generator) -> Lora:
    """q, k and v of every block of both towers; A Kaiming-uniform(sqrt 5), B zero."""
    a, b = {}, {}
    for name, weight in clip.weights.items():
        if name.endswith("attn.in_proj_weight"):
            width = weight.shape[1]
            for letter in "qkv":
                target, bound = f"{name.removesuffix('in_proj_weight')}{letter}", 1 / math.sqrt(width)
                drawn = torch.empty(rank, width).uniform_(-bound, bound, generator=generator)
                a[target], b[target] = drawn.to(weight), weight.new_zeros(width, rank)
    return Lora(a, b, scaling(alpha, rank), dropout)


# The two towers.


def projection(x: Tensor, weight: Tensor, bias: Tensor, lora: Lora, name: str) -> Tensor:
    """x (W + gamma B A)^T + bias; dropout falls on the input of the B A part alone."""
    if name not in lora.a:
        return F.linear(x, weight, bias)
    product = lora.gamma * (lora.b[name] @ lora.a[name])
    if lora.dropout == 0:
        return F.linear(x, weight + product, bias)
    return F.linear(x, weight, bias) + F.linear(F.dropout(x, lora.dropout), product)


def attention(x: Tensor, clip: Clip, lora: Lora, name: str, heads: int, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d) + mask) v of every head, side by side, through the output projection."""
    w = clip.weights
    batch, length, width = x.shape
    weights, biases = w[f"{name}.in_proj_weight"].chunk(3), w[f"{name}.in_proj_bias"].chunk(3)
    q, k, v = (
        projection(x, weight, bias, lora, f"{name}.{letter}")
        .view(batch, length, heads, width // heads)
        .transpose(1, 2)
        for letter, weight, bias in zip("qkv", weights, biases, strict=True)
    )
    scores = q @ k.transpose(-2, -1) / math.sqrt(width // heads)
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
    return F.linear(mixed, w[f"{name}.out_proj.weight"], w[f"{name}.out_proj.bias"])


def layer_norm(x: Tensor, clip: Clip, name: str) -> Tensor:
    """(x - mean) / std, scaled and shifted."""
    return F.layer_norm(x, x.shape[-1:], clip.weights[f"{name}.weight"], clip.weights[f"{name}.bias"])


def blocks(x: Tensor, clip: Clip, lora: Lora, tower: str, heads: int, mask: Tensor | None = None) -> Tensor:
    """x + attention(norm(x)), then x + MLP(norm(x)), block after block."""
    w = clip.weights
    for index in range(clip.depth(tower)):
        name = f"{tower}transformer.resblocks.{index}"
        x = x + attention(layer_norm(x, clip, f"{name}.ln_1"), clip, lora, f"{name}.attn", heads, mask)
        hidden = F.linear(
            layer_norm(x, clip, f"{name}.ln_2"), w[f"{name}.mlp.c_fc.weight"], w[f"{name}.mlp.c_fc.bias"]
        )
        x = x + F.linear(F.gelu(hidden), w[f"{name}.mlp.c_proj.weight"], w[f"{name}.mlp.c_proj.bias"])
    return x


def image_features(x: Tensor, clip: Clip, lora: Lora) -> Tensor:
    """f(x), (N, D), *not* L2-normalised."""
    w = clip.weights
    patches = F.conv2d(x, w["visual.conv1.weight"], stride=w["visual.conv1.weight"].shape[-1])
    patches = patches.flatten(2).transpose(1, 2)
    first = w["visual.class_embedding"].to(patches.dtype).expand(len(x), 1, -1)
    tokens = torch.cat([first, patches], dim=1) + w["visual.positional_embedding"]
    tokens = layer_norm(tokens, clip, "visual.ln_pre")
    tokens = blocks(tokens, clip, lora, "visual.", clip.vision_heads)
    return layer_norm(tokens[:, 0], clip, "visual.ln_post") @ w["visual.proj"]


def text_features(tokens: Tensor, clip: Clip, lora: Lora) -> Tensor:
    """t(c), (C, D), L2-normalised, read at the end-of-text token (the largest) of all 77."""
    w = clip.weights
    length = tokens.shape[1]
    x = w["token_embedding.weight"][tokens] + w["positional_embedding"]
    mask = torch.full((length, length), -math.inf, device=x.device, dtype=x.dtype).triu(1)
    x = layer_norm(blocks(x, clip, lora, "", clip.text_heads, mask), clip, "ln_final")
    ends = x[torch.arange(len(x), device=x.device), tokens.argmax(-1)]
    return normalised(ends @ w["text_projection"])


def normalised(features: Tensor) -> Tensor:
    """f / |f|_2."""
    return features / features.norm(dim=-1, keepdim=True)


# Training.


def first_logits(image: Tensor, text: Tensor) -> Tensor:
    """s <f / |f|, t>: of the forward pass before any delta step."""
    return SCALE * normalised(image) @ text.t()


def later_logits(image: Tensor, text: Tensor) -> Tensor:
    """s <f, t>, so s |f| cos: of every forward pass after a delta step."""
    return SCALE * image @ text.t()


def direction(gradient: Tensor) -> Tensor:
    """g itself: no sign."""
    return gradient


def step_scale(delta: Tensor, it: int) -> Tensor:
    """s = 1 / (|delta|_2 + 1e-30), drawn to 1 by (1 - s) / (300 - it) while it < 300, then 1."""
    if it >= 300:
        return torch.ones((), device=delta.device, dtype=delta.dtype)
    s = 1 / (delta.norm() + 1e-30)
    return s + (1 - s) / (300 - it)


def delta_step(delta: Tensor, gradient: Tensor, s: Tensor, epsilon: float) -> Tensor:
    """clip(delta + 0.05 s g, +-eps)."""
    return (delta + 0.05 * s * direction(gradient)).clamp(-epsilon, epsilon)


def keep_in_range(delta: Tensor, x: Tensor) -> Tensor:
    """clip(delta, min(-x), max(1 - x)), one minimum and one maximum for the whole batch."""
    return delta.clamp((-x).min(), (1 - x).max())


def start_of_epoch(delta: Tensor) -> Tensor:
    """Delta = 0."""
    return torch.zeros_like(delta)


def learning_rate(peak: float, final: float, update: int, updates: int) -> float:
    """A cosine from the peak at update 0 down to the final rate."""
    return final + (peak - final) * (1 + math.cos(math.pi * update / updates)) / 2


@dataclass
class Run:
    """One training run.

    Attributes:
        tokens: (C, 77) int64.
        epsilon: eps_train / 255, in normalised units.
        inner_steps: m.
        updates: of the whole run, for the cosine.
        it: LoRA updates done so far.
        all_gradients: take the gradient of LoRA too in the attack, where it is thrown away. The same
            numbers; it only costs time.
    """

    clip: Clip
    lora: Lora
    tokens: Tensor
    delta: Tensor
    epsilon: float
    inner_steps: int
    updates: int
    peak: float = 2e-4
    final: float = 1e-6
    weight_decay: float = 1e-2
    all_gradients: bool = False
    it: int = 0
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        for parameter in self.lora.parameters():
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.lora.parameters(), lr=self.peak, weight_decay=self.weight_decay
        )

    def begin_epoch(self) -> None:
        """What happens before an epoch's first batch."""
        self.delta = start_of_epoch(self.delta)

    def gradient(self, loss: Tensor, delta: Tensor) -> Tensor:
        """dL / d delta; the graph stays, for the text features hang on it."""
        wanted = [delta, *self.lora.parameters()] if self.all_gradients else [delta]
        return torch.autograd.grad(loss, wanted, retain_graph=True)[0]

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """One update on a batch; returns the loss it descended, detached."""
        text = text_features(self.tokens, self.clip, self.lora)
        delta = self.delta.detach().requires_grad_(True)
        loss = F.cross_entropy(first_logits(image_features(x + delta, self.clip, self.lora), text), labels)
        for _ in range(self.inner_steps):
            g = self.gradient(loss, delta)
            with torch.no_grad():
                moved = delta_step(delta, g, step_scale(delta, self.it), self.epsilon)
                moved = keep_in_range(moved, x)
            delta = moved.requires_grad_(True)
            loss = F.cross_entropy(
                later_logits(image_features(x + delta, self.clip, self.lora), text), labels
            )
        self.delta = delta.detach()
        self.descend(loss)
        return loss.detach()

    def descend(self, loss: Tensor) -> None:
        """One AdamW step on A and B."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.peak, self.final, self.it, self.updates)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.it += 1


# Evaluation: dropout off, no logit factor.


def cosines(x: Tensor, text: Tensor, clip: Clip, lora: Lora) -> Tensor:
    """<f / |f|, t>, (N, C)."""
    return normalised(image_features(x, clip, replace(lora, dropout=0.0))) @ text.t()


def input_gradient(x: Tensor, labels: Tensor, text: Tensor, clip: Clip, lora: Lora) -> Tensor:
    """d CE(cosines) / d x."""
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(F.cross_entropy(cosines(x, text, clip, lora), labels), x)[0]


def fgsm(x: Tensor, labels: Tensor, text: Tensor, clip: Clip, lora: Lora, epsilon: float) -> Tensor:
    """clip(x + eps sign(g), 0, 1), all in normalised space."""
    return (x + epsilon * input_gradient(x, labels, text, clip, lora).sign()).clamp(0, 1)


def pgd(
    x: Tensor, labels: Tensor, text: Tensor, clip: Clip, lora: Lora, epsilon: float, steps: int
) -> Tensor:
    """Steps of alpha = eps from x itself, back into the ball, then into [0, 1]; the last iterate."""
    adversarial = x
    for _ in range(steps):
        adversarial = adversarial + epsilon * input_gradient(adversarial, labels, text, clip, lora).sign()
        adversarial = (x + (adversarial - x).clamp(-epsilon, epsilon)).clamp(0, 1)
    return adversarial


@torch.no_grad()
def accuracy(x: Tensor, labels: Tensor, text: Tensor, clip: Clip, lora: Lora) -> float:
    """Share of all images that are right, whether or not they were right before an attack."""
    return (cosines(x, text, clip, lora).argmax(-1) == labels).float().mean().item()
