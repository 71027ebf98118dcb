"""What a user can set: one definition, with ranges, units and help, for form, command line and file.

Every model is frozen and refuses unknown keys. Lengths of perturbations are in pixel units [0, 1];
in files and on the command line they may be written ``"4/255"``.
"""

from advclip_gui.settings.backbone import BackboneSettings
from advclip_gui.settings.data import DEMO_FOLDER, DataSettings
from advclip_gui.settings.document import Document, explain
from advclip_gui.settings.lengths import Norm, Radius, format_epsilon, parse_epsilon
from advclip_gui.settings.lora import Layers, LoraSettings, Matrix, NamedLayers, format_layers, parse_layers
from advclip_gui.settings.method import AdversarySettings, MonitorSettings, TrainingSettings
from advclip_gui.settings.run import Protocol, RunSettings

__all__ = [
    "DEMO_FOLDER",
    "AdversarySettings",
    "BackboneSettings",
    "DataSettings",
    "Document",
    "Layers",
    "LoraSettings",
    "Matrix",
    "MonitorSettings",
    "NamedLayers",
    "Norm",
    "Protocol",
    "Radius",
    "RunSettings",
    "TrainingSettings",
    "explain",
    "format_epsilon",
    "format_layers",
    "parse_epsilon",
    "parse_layers",
]
