"""One exception class per cause; every message says what is wrong and what to do about it."""


class SeatsError(Exception):
    """Base of all errors that a user can act on. The command line prints the message as one line and exits 1, or 2
    where it is a SettingsError."""


class MediaError(SeatsError):
    """The clip cannot be read: missing, unreadable, empty, corrupt, not a media file, or nothing in the asked range."""


class ModelError(SeatsError):
    """The model cannot be found or loaded, or its checkpoint is not one this package can run."""


class OutOfMemoryError(SeatsError):
    """The clip, the model or both do not fit into the memory of the device."""


class SettingsError(SeatsError):
    """A setting has a value outside its range, or two settings contradict each other."""
