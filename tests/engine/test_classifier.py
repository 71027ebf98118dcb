"""Prompts cut at their end give the features of whole ones; pixels are normalised once."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from advclip_gui.engine.classifier import build_classifier, to_pixels, tokenize
from advclip_gui.engine.prompts import clean_class_name, fill

NAMES = ("cat", "container ship", "t-shirt")


def test_cut_prompts_give_the_same_features(backbone) -> None:
    templates = ("a photo of a {}.", "{}")
    tokens = tokenize(backbone, NAMES, templates)
    assert tokens.shape == (6, 10)  # "t-shirt" takes three tokens
    whole = backbone.tokenizer([text for name in NAMES for text in fill(templates, name)])
    per_prompt = F.normalize(backbone.model.encode_text(whole), dim=-1).view(3, 2, -1)
    expected = F.normalize(per_prompt.mean(1), dim=-1)
    torch.testing.assert_close(build_classifier(backbone, NAMES, templates).text_features, expected)


def test_logits_are_open_clips(backbone) -> None:
    pixels = torch.rand(2, 3, 16, 16)
    mean, std = torch.tensor(backbone.mean).view(3, 1, 1), torch.tensor(backbone.std).view(3, 1, 1)
    image = backbone.model.encode_image((pixels - mean) / std, normalize=True)
    text = backbone.model.encode_text(backbone.tokenizer([f"a {name}" for name in NAMES]), normalize=True)
    expected = backbone.model.logit_scale.exp() * image @ text.T
    classifier = build_classifier(backbone, NAMES, ("a {}",))
    torch.testing.assert_close(classifier(pixels), expected)
    assert classifier(pixels).dtype == torch.float32


def test_to_pixels_keeps_channels_apart(photo) -> None:
    pixels = to_pixels(photo[None], torch.device("cpu"))
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, 2, 5, 7] == photo[5, 7, 2] / 255


def test_class_names_read_as_words() -> None:
    cleaned = {
        "golden_retriever": "golden retriever",
        "t-shirt": "t-shirt",
        "n02099601_golden": "golden",
        "001.Laysan_Albatross": "Laysan Albatross",
        "747": "747",
        "  sea  lion ": "sea lion",
    }
    assert {folder: clean_class_name(folder) for folder in cleaned} == cleaned
