"""The eleven datasets that few-shot CLIP papers report on: how they lie on disk, and their usual prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """One public dataset.

    Attributes:
        key: its name in settings and results.
        title: its name for people.
        folders: what its folder is called, in CoOp and in CLIP-LoRA; compared without case and marks.
        split_file: CoOp's JSON list, "" where it has none.
        image_folders: where the list's paths start, below the dataset's folder; "." is the folder itself.
        template: the prompt that is usual for it.
    """

    key: str
    title: str
    folders: tuple[str, ...]
    split_file: str
    image_folders: tuple[str, ...]
    template: str = "a photo of a {}."


KNOWN_DATASETS: Final[tuple[KnownDataset, ...]] = (
    KnownDataset(
        "caltech101",
        "Caltech101",
        ("caltech-101", "Caltech101"),
        "split_zhou_Caltech101.json",
        ("101_ObjectCategories", "caltech-101/101_ObjectCategories"),
    ),
    KnownDataset(
        "dtd",
        "Describable Textures (DTD)",
        ("dtd", "DescribableTextures"),
        "split_zhou_DescribableTextures.json",
        ("images", "dtd/images"),
        "{} texture.",
    ),
    KnownDataset(
        "eurosat",
        "EuroSAT",
        ("eurosat",),
        "split_zhou_EuroSAT.json",
        ("2750", "eurosat/2750"),
        "a centered satellite photo of {}.",
    ),
    KnownDataset(
        "fgvc_aircraft",
        "FGVC Aircraft",
        ("fgvc_aircraft", "fgvc-aircraft-2013b", "FGVCAircraft"),
        "",
        ("images",),
        "a photo of a {}, a type of aircraft.",
    ),
    KnownDataset(
        "food101",
        "Food-101",
        ("food-101", "Food101"),
        "split_zhou_Food101.json",
        ("images", "food-101/images"),
        "a photo of {}, a type of food.",
    ),
    KnownDataset("imagenet", "ImageNet", ("imagenet", "ILSVRC2012"), "", ("images", ".")),
    KnownDataset(
        "oxford_flowers",
        "Oxford Flowers",
        ("oxford_flowers", "Flower102", "Flowers102", "OxfordFlowers"),
        "split_zhou_OxfordFlowers.json",
        ("jpg",),
        "a photo of a {}, a type of flower.",
    ),
    KnownDataset(
        "oxford_pets",
        "Oxford Pets",
        ("oxford_pets", "OxfordPets", "oxford-iiit-pet"),
        "split_zhou_OxfordPets.json",
        ("images",),
        "a photo of a {}, a type of pet.",
    ),
    KnownDataset(
        "stanford_cars",
        "Stanford Cars",
        ("stanford_cars", "StanfordCars"),
        "split_zhou_StanfordCars.json",
        (".",),
    ),
    KnownDataset("sun397", "SUN397", ("sun397",), "split_zhou_SUN397.json", ("SUN397", "sun397/SUN397")),
    KnownDataset(
        "ucf101",
        "UCF101",
        ("ucf101",),
        "split_zhou_UCF101.json",
        ("UCF-101-midframes", "ucf101/UCF-101-midframes"),
        "a photo of a person doing {}.",
    ),
)
"""In the order papers list them by name."""


def known_dataset(key: str) -> KnownDataset | None:
    """Return the dataset with a key, None for "" and unknown ones."""
    return next((known for known in KNOWN_DATASETS if known.key == key), None)


def dataset_by_folder(name: str) -> KnownDataset | None:
    """Return the dataset whose folder may be called so, whatever case and marks it is written with."""
    plain = _plain(name)
    return next(
        (known for known in KNOWN_DATASETS if plain in {_plain(folder) for folder in known.folders}), None
    )


def dataset_by_split_file(name: str) -> KnownDataset | None:
    """Return the dataset that CoOp's list of this name belongs to."""
    return next((known for known in KNOWN_DATASETS if known.split_file.lower() == name.lower() != ""), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
