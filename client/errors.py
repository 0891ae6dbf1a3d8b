"""What ends a command early, in a sentence.

ClientError          1   the service refused what was asked, or the training failed
├── Unavailable      1   the service can't do it now, as while it ends
└── Unreachable      3   no answer came

Usage errors are typer's, with exit code 2.
"""

from typing import Any, ClassVar


class ClientError(Exception):
    """Printed as it is; `problem` is what the service answered, if it did."""

    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.problem = problem or {"detail": detail}


class Unavailable(ClientError):
    pass


class Unreachable(ClientError):
    exit_code = 3
