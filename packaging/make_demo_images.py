"""Choose the demo photos that ship with the application, byte for byte.

    python packaging/make_demo_images.py IMAGES --out resources/demo

IMAGES is a folder with ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` of 32 px photos (the
CIFAR-10 images in that layout). Only the test half is used: the bundled backbone is trained on the
other one. The choice is made by a private generator over sorted paths, so the same images and seed
give the same folder.
"""

from __future__ import annotations

import argparse
import random
import shutil
from pathlib import Path

COUNTS = {"train": 24, "val": 10, "test": 100}
README = """# Demo photos

Ten classes of 32 x 32 px photos, one folder per class: {counts}.

They are CIFAR-10 images (Alex Krizhevsky, Vinod Nair, Geoffrey Hinton: *The CIFAR-10 dataset*,
https://www.cs.toronto.edu/~kriz/cifar.html; described in Krizhevsky, *Learning Multiple Layers of
Features from Tiny Images*, 2009), copied unchanged from JPEG files. All of them, the `train` folder
too, come from the **test half** of CIFAR-10: the bundled backbone advclip-mini was trained on the
training half and has seen none of them. No image is in two folders.

Made by `packaging/make_demo_images.py` with seed {seed}.
"""


def choose(folder: Path, seed: int) -> dict[str, list[Path]]:
    """Return disjoint files of one class for train, val and test."""
    paths = sorted(folder.glob("*.jpg"))
    needed = sum(COUNTS.values())
    if len(paths) < needed:
        raise SystemExit(f"{folder} has {len(paths)} images; {needed} are needed.")
    generator = random.Random(f"{seed}/{folder.name}")
    keys = [generator.random() for _ in paths]
    order = [paths[index] for index in sorted(range(len(paths)), key=keys.__getitem__)]
    chosen, start = {}, 0
    for split, count in COUNTS.items():
        chosen[split] = order[start : start + count]
        start += count
    return chosen


def main() -> None:
    """Write train, val, test and README.md into a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", type=Path, metavar="IMAGES")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    classes = sorted(path for path in (arguments.images / "test").iterdir() if path.is_dir())
    if len(classes) < 2:
        raise SystemExit(f"No class folders found in {arguments.images / 'test'}.")
    if any((arguments.out / split).exists() for split in COUNTS):
        raise SystemExit(f"{arguments.out} already holds images; remove them first.")
    for folder in classes:
        for split, paths in choose(folder, arguments.seed).items():
            target = arguments.out / split / folder.name
            target.mkdir(parents=True)
            for path in paths:
                shutil.copyfile(path, target / path.name)
    counts = ", ".join(f"{count} per class in `{split}`" for split, count in COUNTS.items())
    readme = README.format(counts=counts, seed=arguments.seed)
    (arguments.out / "README.md").write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
