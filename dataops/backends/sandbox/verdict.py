"""What an error says about a file that was only looked at: that the step will fail, or that we cannot know.

A good step is never called failing. So an error counts as certain only if no answer of a database can have led to it,
and if it would be raised in a real run as well.
"""

from __future__ import annotations

import enum
import os
import traceback
import types
from pathlib import Path

from dataops.backends.loading import NotRun, is_beside

_DOUBTFUL_LIBRARIES = {"alembic", "sqlalchemy", "psycopg", "pymongo", "bson", "gridfs", "dataops"}
"""What they raise may come from our stand-ins: the offline mode, or a server that stores nothing."""


class Certain(Exception):
    """What our stand-ins raise themselves, where a real run would certainly fail in the same place."""


class Asked(enum.IntEnum):
    """What a file has learned from the database before it raised an error.

    NOTHING; COUNTS: only whether its writes succeeded and how many documents they changed; ANSWERS: anything else.
    """

    NOTHING = 0
    COUNTS = 1
    ANSWERS = 2


class Nature(enum.IntEnum):
    """What kind of error it is.

    NEVER_GOOD: such as a name or a module that does not exist; no answer of a database makes it exist.
    SLIP: a key, an index, an attribute or a type that is wrong; a number of documents does not lead to it.
    PLAIN: any other error that the file raised.
    DOUBTFUL: it may come from looking itself: from our stand-ins, or from an environment that is different here.
    """

    NEVER_GOOD = 0
    SLIP = 1
    PLAIN = 2
    DOUBTFUL = 3


def is_certain(nature: Nature, asked: Asked) -> bool:
    """Whether the error would be raised in a real run too, whatever the database answers there."""
    match nature:
        case Nature.NEVER_GOOD:
            return True
        case Nature.SLIP:
            return asked < Asked.ANSWERS
        case Nature.PLAIN:
            return asked is Asked.NOTHING
    return False


def nature_of(error: BaseException, folder: Path) -> Nature:
    """What kind of error it is; `folder` is where the migration and its helpers are."""
    if isinstance(error, ImportError | SyntaxError | Certain | NotRun):
        return Nature.NEVER_GOOD
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
        return Nature.NEVER_GOOD
    if isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
        return Nature.NEVER_GOOD
    if isinstance(error, SystemExit):  # also what we make of os._exit
        return Nature.PLAIN
    if _is_about_none(error) or _comes_from_elsewhere(error, folder):
        return Nature.DOUBTFUL
    if isinstance(error, FileNotFoundError) and is_beside(str(error.filename), folder):
        return Nature.PLAIN  # it belongs to the migration; another one may only be where the step is run
    if isinstance(error, OSError | MemoryError | RecursionError | EOFError):  # input() at a terminal may get an answer
        return Nature.DOUBTFUL
    if isinstance(error, LookupError | AttributeError | TypeError):
        return Nature.SLIP
    return Nature.PLAIN


def _is_about_none(error: BaseException) -> bool:
    """Where the database is not asked, its answers are None, and so are variables that are not set here."""
    if isinstance(error, AttributeError):
        return error.obj is None
    return isinstance(error, TypeError) and "NoneType" in str(error)


def _comes_from_elsewhere(error: BaseException, folder: Path) -> bool:
    """Whether it was raised below the file in a library of `_DOUBTFUL_LIBRARIES`, or for a variable that is not set."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        code = frame.f_code
        if is_beside(code.co_filename, folder):
            return False
        if frame.f_globals.get("__name__", "").partition(".")[0] in _DOUBTFUL_LIBRARIES:
            return True
        if code is os._Environ.__getitem__.__code__:
            return True
    return True


__all__ = ["Asked", "Certain", "Nature", "is_certain", "nature_of"]
