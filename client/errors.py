"""The errors that end a command, each with its exit code and a sentence for the user.

ClientError          1   the service refused the request, or the training failed
├── Unavailable      1   the service can't answer now, for example while it ends
└── Unreachable      3   no answer came

Usage errors are typer's, with exit code 2.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class ClientError(Exception):
    """An error whose message is printed as it is.

    Args:
        detail: the message, a sentence.
        problem: the JSON that the service answered with, if it answered.
        advice: what to do, in lines that are printed below the message.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, detail: str, problem: dict[str, Any] | None = None, advice: Sequence[str] = ()
    ) -> None:
        super().__init__(detail)
        self.advice = advice
        self.problem = problem or {"detail": detail}


class Unavailable(ClientError):
    """The service can't answer now: it says so (503), or a proxy can't reach it (502, 504)."""


class Unreachable(ClientError):
    """No answer came from the service."""

    exit_code = 3
