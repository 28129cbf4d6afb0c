"""The kinds of failure that Sightline tells apart; anything else is a bug and ends the process."""


class MeshError(Exception):
    """A failure with a known meaning."""


class RejectedRecordError(MeshError):
    """This record can never succeed: it goes to the dead-letter topic and the offset advances."""


class TransientError(MeshError):
    """Nothing is wrong with the record: the worker tries again as the retry policy says."""


class DeadLetterLimitError(MeshError):
    """So many records are rejected that the deployment, not the data, must be bad."""


class ConfigurationError(MeshError):
    """The process cannot start as configured; the message names the setting and what it may be."""
