"""Errors a user can do something about: one sentence each, with the way out."""

from __future__ import annotations


class UserError(Exception):
    """What went wrong, to which file, and what to do; shown as it is, without a traceback.

    Attributes:
        message: one or two plain sentences.
        hint: what the user can do next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the sentence and the way out."""
        super().__init__(message if not hint else f"{message} {hint}")
        self.message = message
        self.hint = hint


class DataError(UserError):
    """The image folder cannot be used as it is."""


class ImageError(UserError):
    """One image cannot be read."""


class BackboneError(UserError):
    """The CLIP backbone cannot be found, loaded or adapted."""


class CheckpointError(UserError):
    """A checkpoint, adapter or run folder cannot be read, or does not fit."""


class SettingsError(UserError):
    """A settings file or value is wrong."""


class StorageError(UserError):
    """Something could not be written: disk full, no permission."""


class DeviceError(UserError):
    """The device cannot do what is asked: out of memory, not there."""


class TrainingError(UserError):
    """Training cannot go on, e.g. after several non-finite losses in a row."""
