"""How long a probe takes with the bundled backbone, and an image of a gallery: what follows the slider."""

from __future__ import annotations

from typing import Any

from _measure import figure, repeats, run, seconds


def measure(quick: bool) -> dict[str, Any]:
    """FGSM and PGD-10 at 4/255, each step reported as for the replay; the smallest epsilon side by side."""
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.images import open_image, prepare
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe import ProbeRequest, probe, smallest_epsilon
    from advclip_gui.engine.probe_gallery import GallerySearch
    from advclip_gui.engine.resources import demo_folder
    from advclip_gui.engine.session import Session
    from advclip_gui.settings import BackboneSettings

    control = Control()
    session = Session()
    names = tuple(sorted(path.name for path in (demo_folder() / "test").iterdir() if path.is_dir()))
    ref = ModelRef(kind="zero_shot", backbone=BackboneSettings())
    classifier = session.classifier(ref, names, ("a photo of a {}.",), control)
    photo = next(path for path in sorted((demo_folder() / "test" / names[0]).iterdir()))
    pixels = prepare(open_image(photo), classifier.image_size)
    figures = {}
    for title, request in (
        ("FGSM", ProbeRequest(attack="fgsm")),
        ("PGD-10", ProbeRequest(attack="pgd", steps=10)),
    ):
        taken = seconds(lambda r=request: probe(classifier, pixels, r, control=control), 3 * repeats(quick))
        figures[title] = figure([1000 * value for value in taken], "ms")
    many = [
        (prepare(open_image(path), classifier.image_size), label)
        for label, name in enumerate(names[:4] if quick else names)
        for path in sorted((demo_folder() / "test" / name).iterdir())[:2]
    ]

    def gallery() -> None:
        search, waiting = GallerySearch(ProbeRequest()), list(enumerate(many))
        while waiting or not search.empty:
            while waiting and search.free:
                index, (image, label) = waiting.pop()
                search.add(index, image, label=label)
            search.step(classifier, control)

    def one_by_one() -> None:
        for image, label in many:
            smallest_epsilon(classifier, image, ProbeRequest(), label=label, control=control)

    for title, work in (("Gallery, per image", gallery), ("The same one by one", one_by_one)):
        taken = seconds(work, 1 if quick else 2, warm_up=0)
        figures[title] = figure([1000 * value / len(many) for value in taken], "ms")
    return {"figures": figures, "details": {"backbone": "advclip-mini", "device": session.device_text}}


if __name__ == "__main__":
    run(measure)
