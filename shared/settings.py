"""Settings that both services read from the environment."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.logs import LogFormat, LogLevel

#: Shorter keys could be guessed. (16 characters of base64 have 96 bits.)
MIN_KEY_LENGTH = 16

#: As browsers write an origin: without a path, and without the port that is usual for the scheme.
ORIGIN = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(:([1-9][0-9]{0,4}))?")
_HIGHEST_PORT = 65535

HOST_NAME = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")

EngineChoice = Literal["auto", "openvino", "tensorflow"]
PrecisionChoice = Literal["auto", "f32"]


class SharedSettings(BaseSettings):
    """Every field is read from `HEADSTART_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="HEADSTART_", extra="ignore")

    store: Path = Field(
        default=Path("var/store"),
        description="Directory of the store, shared by trainer, workers and predictor.",
    )
    host: str = Field(default="127.0.0.1", description="Address that the HTTP services bind to.")
    allowed_hosts: str | None = Field(
        default=None,
        description="Host names under which the HTTP services answer, besides IP addresses, "
        "names without a dot, and local names; separated by commas: `a.example`, "
        "`*.example`, or `*` for all, which is the default if keys are set.",
    )
    allowed_origins: str | None = Field(
        default=None,
        description="Origins whose pages may use the HTTP services, separated by commas: the "
        "trainer's page asks the predictor, and the predictor's page sends images to the trainer. "
        "`https://trainer.example,https://predictor.example`; none if unset.",
    )
    api_keys: SecretStr | None = Field(
        default=None,
        description="Keys, separated by commas. Each of them gives full access to both "
        "services; without keys everybody has it.",
    )
    api_keys_file: Path | None = Field(
        default=None, description="File with more keys, one per line."
    )
    max_json_bytes: int = Field(
        default=2**16, gt=0, description="Largest request body without files, in bytes."
    )
    engine: EngineChoice = Field(
        default="auto",
        description="auto: tensorflow if there is a GPU, else openvino.",
    )
    precision: PrecisionChoice = Field(
        default="auto",
        description="auto: bfloat16 or float16 if the hardware is fast at it; f32: always float32.",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads for decoding and inference; 0 means all cores."
    )
    max_image_bytes: int = Field(
        default=32 * 2**20, gt=0, description="Largest image file that is read, in bytes."
    )
    max_image_pixels: int = Field(
        default=64_000_000, gt=0, description="Largest image that is decoded, in pixels."
    )
    log_level: LogLevel = Field(default="info", description="Lowest level that is logged.")
    log_format: LogFormat = Field(
        default="console", description="Lines for people (console), or one JSON object each (json)."
    )
    max_connections: int = Field(
        default=1024,
        gt=0,
        description="Most connections to each HTTP service. Beyond it, a new connection "
        "replaces the one that has been idle longest, or gets 503 if none is idle. "
        "There are fewer if the process may not open enough files.",
    )
    silence_seconds: float = Field(
        default=30,
        gt=0,
        description="Seconds that a client may send nothing within a request, take for its "
        "headers, or read nothing of its answer; then it gets 408, or its "
        "connection is closed.",
    )
    shutdown_seconds: int = Field(
        default=8, gt=0, description="Seconds that requests in flight get to finish at shutdown."
    )

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        """Check keys and hosts at the start, as a mistake in them opens or closes the service."""
        self.read_api_keys()
        self.read_allowed_hosts()
        self.read_allowed_origins()
        return self

    def read_api_keys(self) -> tuple[str, ...]:
        """Return the API keys, from the environment and from the file.

        Raises:
            ValueError: a key is too short or has characters other than printable ASCII, or the
                file is missing, can't be read, or is empty.
        """
        listed = self.api_keys.get_secret_value().split(",") if self.api_keys else []
        found = _keys("HEADSTART_API_KEYS", listed)
        if self.api_keys_file is not None:
            found += _keys("HEADSTART_API_KEYS_FILE", _lines(self.api_keys_file))
        return found

    def read_allowed_hosts(self) -> tuple[str, ...]:
        """Return the listed names and `*.` patterns, in lower case.

        Raises:
            ValueError: an entry is neither a name nor such a pattern.
        """
        listed = (self.allowed_hosts or "").split(",")
        names = tuple(name.strip() for name in listed if name.strip())
        for name in names:
            if not HOST_NAME.fullmatch(name.lower()):
                raise ValueError(
                    "HEADSTART_ALLOWED_HOSTS: expected names such as headstart.example, *.example "
                    f"or *, without scheme and port. Received: {name!r}"
                )
        return tuple(name.lower() for name in names)

    def read_allowed_origins(self) -> tuple[str, ...]:
        """Return the listed origins as browsers write them.

        Raises:
            ValueError: an entry is no origin.
        """
        listed = (origin.strip() for origin in (self.allowed_origins or "").split(","))
        return tuple(_origin("HEADSTART_ALLOWED_ORIGINS", text) for text in listed if text)


def origin_of(setting: str, url: str) -> str:
    """Return the origin of the address that a setting has.

    Raises:
        ValueError: it is not an address of http or https.
    """
    parts = url.split("/")
    return _origin(setting, "/".join(parts[:3]), url)


def _origin(setting: str, text: str, received: str | None = None) -> str:
    found = ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if not found or int(found[4] or 0) > _HIGHEST_PORT:
        raise ValueError(
            f"{setting}: expected an address such as https://headstart.example or "
            f"http://127.0.0.1:8000. Received: {received or text!r}"
        )
    usual = ":443" if found[0].startswith("https:") else ":80"
    return found[0].removesuffix(usual)


def read_named_file(setting: str, path: Path, content: str) -> str:
    """Return the text of a file that a setting names.

    Args:
        setting: the environment variable.
        path: the file.
        content: what is expected in it, in words.

    Raises:
        ValueError: the file can't be read, or is not text.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(
            f"{setting}: expected a file with {content}: {reason}. Received: {str(path)!r}"
        ) from None


def _lines(path: Path) -> list[str]:
    text = read_named_file("HEADSTART_API_KEYS_FILE", path, "one key a line")
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError(f"HEADSTART_API_KEYS_FILE: there is no key in {str(path)!r}.")
    return lines


def _keys(setting: str, listed: list[str]) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in listed if key.strip())
    for key in keys:
        if len(key) < MIN_KEY_LENGTH or not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(
                f"{setting}: expected keys of at least {MIN_KEY_LENGTH} letters, digits and signs "
                f"without spaces. Received: one of {len(key)} characters"
            )
    return keys
