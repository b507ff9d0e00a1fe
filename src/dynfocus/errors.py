"""The exception that a user's mistake raises, and the one of a machine that gives out.

The command line prints its message as a single line (what, where, what to do) and exits with 2.
So it does where the machine gives out, of which a step never makes a gap or a fault of a file (`MachineError`).
Anything else that escapes a command is a defect of the program and keeps its traceback.
"""


def one_line(text: str) -> str:
    """`text` with control characters written as escapes: a name may hold a line feed, or a command to the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class UserError(Exception):
    """Bad input: a config key, a file, a machine that lacks what a command needs. Its message is one line."""

    def __init__(self, message: str):
        super().__init__(one_line(message))


class MediumError(UserError):
    """A video or image that cannot be used; `kind` is the word that coverage reports count it under."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class MachineError(Exception):
    """The machine gave out: no memory, no disk, no more files. It ends a step, and no step takes it for bad input."""

    def __init__(self, message: str):
        super().__init__(one_line(message))
