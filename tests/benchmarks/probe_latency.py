"""How long a probe of one image takes with the bundled backbone: what follows the epsilon slider."""

from __future__ import annotations

from typing import Any

from _measure import figure, repeats, run, seconds


def measure(quick: bool) -> dict[str, Any]:
    """FGSM and PGD-10 at 4/255, each step reported as for the replay."""
    from advclip_gui.engine.control import Control
    from advclip_gui.engine.images import open_image, prepare
    from advclip_gui.engine.model_ref import ModelRef
    from advclip_gui.engine.probe import ProbeRequest, probe
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
    return {"figures": figures, "details": {"backbone": "advclip-mini", "device": session.device_text}}


if __name__ == "__main__":
    run(measure)
