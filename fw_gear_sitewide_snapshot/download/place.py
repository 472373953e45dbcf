"""Reads where copies are to go, and with which credentials: every error of the two options."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..parser import CREDENTIALS_INPUT
from ..text import one_line, secret_forms

SCHEMES = ("s3", "gs", "az", "file")
_LONGEST_FILE_BYTES = 1 << 16
_SECRET_NAME = re.compile(r"key|secret|token|sas|password", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"(AWS|AZURE|GOOGLE)_\w*(SECRET|TOKEN|KEY|SAS|PASSWORD)")
_EXPECTED = "expected an address such as s3://bucket/prefix, gs://…, az://… or file:///folder"


def check_address(url: str) -> None:
    """Raise a ConfigError unless it is the address of a place for copies, without credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f'config "copy to" is no address: {_EXPECTED}') from None
    if "@" in url or parts.query or parts.fragment:  # not shown: it may be a secret
        raise ConfigError(
            f'config "copy to": {_EXPECTED}, and nothing else in it. Credentials come from the '
            f'environment, the machine\'s role or the input "{CREDENTIALS_INPUT}"'
        )
    is_folder = parts.scheme == "file"
    has_place = parts.path.startswith("/") and not parts.netloc if is_folder else parts.netloc
    if parts.scheme not in SCHEMES or not has_place or not url.isprintable():
        raise ConfigError(f'config "copy to" is {one_line(repr(url))}: {_EXPECTED}')


def read_credentials(path: Path | None) -> dict[str, str]:
    """Read the input ``storage-credentials``; empty where none is given.

    Raises:
        ConfigError: It is no JSON object of texts. The error shows nothing of what is in it.
    """
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes()[:_LONGEST_FILE_BYTES])
        if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
            return found
        problem = 'expected one object of names and texts, such as {"aws_access_key_id": "…"}'
    except OSError as error:
        problem = f"it can't be read: {error.strerror}"
    except (ValueError, RecursionError):
        problem = "it is not JSON"
    raise ConfigError(f'input "{CREDENTIALS_INPUT}": {problem}')


def secrets_of(credentials: Mapping[str, str]) -> frozenset[str]:
    """Return what no log may show: those given, and the environment's, in all their forms.

    Names of accounts, regions and addresses are no secrets.
    """
    secrets = [value for name, value in credentials.items() if _SECRET_NAME.search(name)]
    secrets += [value for name, value in os.environ.items() if _SECRET_VARIABLE.match(name)]
    return frozenset(form for secret in secrets for form in secret_forms(secret))
