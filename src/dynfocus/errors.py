"""The one exception that a user's mistake raises.

The command line prints its message as a single line (what, where, what to do) and exits with 2.
Anything else that escapes a command is a defect of the program and keeps its traceback.
"""


class UserError(Exception):
    """Bad input: a config key, a file, a machine that lacks what a command needs."""


class MediumError(UserError):
    """A video or image that cannot be used; `kind` is the word that coverage reports count it under."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind
