"""The one kind of error a user can cause: something given to the program is wrong.

The command line prints it in one line and exits with status 2; everything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

import errno


class InputError(ValueError):
    """Something the user wrote (scenario, option, data file) cannot be used.

    The message says what is wrong, where, and what is allowed. It may quote a scenario of a
    stranger's, so what would steer a terminal (escape sequences) is written out.
    """

    def __str__(self) -> str:
        return "".join(
            char if char.isprintable() or char == "\n" else repr(char)[1:-1]
            for char in super().__str__()
        )


def reason(error: BaseException) -> str:
    """What an exception of some library says, as one line for a message of ours."""
    return (str(error).strip().splitlines() or [repr(error)])[0]


def is_full(error: OSError) -> bool:
    """Whether a file could not be written for want of space: a full disk, a quota, a limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
