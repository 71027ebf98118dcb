"""Train advclip-mini, the small CLIP that ships with the application.

    python packaging/train_advclip_mini.py IMAGES --out resources/backbones/advclip-mini

IMAGES is a folder with ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` of 32 px photos (the
CIFAR-10 images in that layout). The towers are open_clip's own: a ViT on 4 px patches and a small
text transformer on the ordinary CLIP BPE tokeniser. The loss is contrastive: in every step each
class is captioned once (a random template around a random one of its names), and every image must
pick out its caption; images of one class share a caption, so a batch has many positives for one
text. Everything that is random comes from one seed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from advclip_gui.engine.torchvision_cure import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402  (needs the cure above)
from open_clip.model import CLIP  # noqa: E402

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 32, "patch_size": 4, "width": 192, "layers": 6, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 3},
}
PREPROCESS: dict[str, Any] = {
    "size": 32,
    "mode": "RGB",
    "mean": [0.4914, 0.4822, 0.4465],
    "std": [0.2470, 0.2435, 0.2616],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
TEMPLATES = (
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "a photo of the small {}.",
    "a picture of a {}.",
    "{}",
)
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "airplane": ("airplane", "airplane", "plane", "aeroplane", "aircraft"),
    "automobile": ("automobile", "automobile", "car"),
    "bird": ("bird",),
    "cat": ("cat", "cat", "kitten"),
    "deer": ("deer",),
    "dog": ("dog", "dog", "puppy"),
    "frog": ("frog", "frog", "toad"),
    "horse": ("horse", "horse", "pony"),
    "ship": ("ship", "ship", "boat"),
    "truck": ("truck", "truck", "lorry"),
}


def load_images(folder: Path) -> tuple[Tensor, Tensor]:
    """Return uint8 images (N, 3, 32, 32) and int64 labels (N,), classes in sorted order."""
    images, labels = [], []
    for label, name in enumerate(sorted(CLASS_NAMES)):
        for path in sorted((folder / name).glob("*.jpg")):
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    if not images:
        raise SystemExit(f"No images found under {folder}.")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def fast_attention(
    self: nn.MultiheadAttention, query: Tensor, *_: Any, attn_mask: Tensor | None = None, **__: Any
) -> tuple[Tensor, None]:
    """Self-attention with two plain batched products: on CPU its backward is several times faster."""
    batch, length, width = query.shape
    heads, head_width = self.num_heads, width // self.num_heads
    projected = F.linear(query, self.in_proj_weight, self.in_proj_bias)
    q, k, v = (
        projected.view(batch, length, 3, heads, head_width)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, batch * heads, length, head_width)
    )
    scores = torch.bmm(q, k.transpose(1, 2)) * head_width**-0.5
    if attn_mask is not None:
        scores = scores + attn_mask
    out = torch.bmm(scores.softmax(-1).to(v.dtype), v)
    out = out.view(batch, heads, length, head_width).permute(0, 2, 1, 3).reshape(batch, length, width)
    return F.linear(out, self.out_proj.weight, self.out_proj.bias), None


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random crop after padding by 4 px, random horizontal flip; one draw for each image."""
    count, _, height, width = images.shape
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    top = torch.randint(0, 9, (count,), generator=generator)
    left = torch.randint(0, 9, (count,), generator=generator)
    flip = torch.rand(count, generator=generator) < 0.5
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip[:, None], width - 1 - columns, columns) + left[:, None]
    rows = torch.arange(height).expand(count, height) + top[:, None]
    index = torch.arange(count)
    return padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Normalise:
    """Map uint8 images to the floats the image tower expects."""

    def __init__(self) -> None:
        """Keep mean and deviation as (1, 3, 1, 1)."""
        self.mean = torch.tensor(PREPROCESS["mean"]).view(1, 3, 1, 1)
        self.std = torch.tensor(PREPROCESS["std"]).view(1, 3, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> float32."""
        return (images.float() / 255 - self.mean) / self.std


def encode_short_text(model: CLIP, tokens: Tensor) -> Tensor:
    """Features (N, D), normalised, of tokens cut behind the last end-of-text (causal: exact)."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection, dim=-1)


@torch.inference_mode()
def zero_shot_accuracy(model: CLIP, images: Tensor, labels: Tensor, tokenizer: Any) -> float:
    """Accuracy in percent with the prompt "a photo of a {}.", float32."""
    model.eval()
    text = model.encode_text(tokenizer([TEMPLATES[0].format(c) for c in sorted(CLASS_NAMES)]), normalize=True)
    normalise, hits = Normalise(), 0
    for start in range(0, len(images), 500):
        features = model.encode_image(normalise(images[start : start + 500]), normalize=True)
        hits += int(((features @ text.T).argmax(-1) == labels[start : start + 500]).sum())
    model.train()
    return 100 * hits / len(images)


def make_optimizers(model: CLIP, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices of the image tower, AdamW for everything else."""
    hidden = [p for n, p in model.visual.named_parameters() if p.ndim == 2 and "resblocks" in n]
    chosen = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in chosen and p.requires_grad]
    decayed = [p for p in rest if p.ndim >= 2]
    plain = [p for p in rest if p.ndim < 2]
    return [
        torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=lr,
            betas=(0.9, 0.98),
            fused=True,
        ),
    ]


def train(arguments: argparse.Namespace) -> None:
    """Run the recipe and write weights, open_clip configuration and a log."""
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        nn.MultiheadAttention.forward = fast_attention  # type: ignore[method-assign,assignment]
    images, labels = load_images(arguments.images / "train")
    test_images, test_labels = load_images(arguments.images / "test")
    print(f"{len(images)} training images, {len(test_images)} test images, {device}", flush=True)

    model = CLIP(**MODEL_CONFIG).to(device)
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    names = sorted(CLASS_NAMES)
    captions = [[tokenizer([t.format(n) for t in TEMPLATES for n in CLASS_NAMES[name]])] for name in names]
    captions = [entry[0][:, :16].to(device) for entry in captions]  # causal: padding changes nothing
    optimizers = make_optimizers(model, arguments.lr, arguments.weight_decay)
    steps_per_epoch = len(images) // arguments.batch_size
    total, step, started = arguments.epochs * steps_per_epoch, 0, time.perf_counter()
    normalise = Normalise()
    for epoch in range(arguments.epochs):
        masked = epoch < arguments.masked_epochs
        model.visual.patch_dropout = open_clip.transformer.PatchDropout(
            arguments.patch_dropout if masked else 0.0
        )
        order = torch.randperm(len(images), generator=generator)
        running = 0.0
        for batch in order[: steps_per_epoch * arguments.batch_size].view(steps_per_epoch, -1):
            warm = min(1.0, (step + 1) / (arguments.warmup * total))
            scale = warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total)))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = arguments.lr * scale
            pixels = normalise(augment(images[batch], generator)).to(device)
            chosen = torch.stack([c[torch.randint(len(c), (), generator=generator)] for c in captions])
            with torch.autocast(device.type, torch.bfloat16):
                image_features = model.encode_image(pixels, normalize=True)
                text_features = encode_short_text(model, chosen)
            logits = model.logit_scale.exp() * image_features.float() @ text_features.float().T
            loss = F.cross_entropy(
                logits, labels[batch].to(device), label_smoothing=arguments.label_smoothing
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            running += float(loss.detach())
            step += 1
            if step % 20 == 0:
                print(f"  step {step}/{total} loss {float(loss.detach()):.3f}", flush=True)
            if arguments.max_steps and step >= arguments.max_steps:
                break
        accuracy = zero_shot_accuracy(model, test_images, test_labels, tokenizer)
        minutes = (time.perf_counter() - started) / 60
        print(
            f"epoch {epoch + 1}/{arguments.epochs} loss {running / steps_per_epoch:.3f} "
            f"test {accuracy:.2f} % scale {float(model.logit_scale.exp()):.1f} {minutes:.1f} min",
            flush=True,
        )
        save(model, arguments, {"epoch": epoch + 1, "clean_accuracy_percent": accuracy, "minutes": minutes})
        if arguments.max_steps and step >= arguments.max_steps:
            break


def save(model: CLIP, arguments: argparse.Namespace, log: dict[str, Any]) -> None:
    """Write the fp16 weights, open_clip's configuration file and the training log."""
    from safetensors.torch import save_file

    arguments.out.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().half().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, arguments.out / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS}
    (arguments.out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    recipe = {k: v for k, v in vars(arguments).items() if k not in {"images", "out"}}
    (arguments.out / "training.json").write_text(json.dumps({**log, "recipe": recipe}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--masked-epochs", type=int, default=11, help="epochs that drop half of the patches")
    parser.add_argument("--patch-dropout", type=float, default=0.5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--warmup", type=float, default=0.05, help="share of all steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=0, help="stop early, to try the recipe")
    train(parser.parse_args())
