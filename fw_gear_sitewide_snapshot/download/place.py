"""Reads where copies are to go, and with which credentials: every error of the two options."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import ConfigError
from ..parser import CREDENTIALS_INPUT
from ..text import one_line, secret_forms, size_text

SCHEMES = ("s3", "gs", "az", "file")
_LONGEST_FILE_BYTES = 1 << 16
_NAME = re.compile(r"[a-z][a-z0-9_]*|[A-Z][A-Z0-9_]*")
_HARMLESS_NAME = re.compile(
    r"region|endpoint|bucket|container|_ur[il]$|(account|project|client)_(name|id|email)$|^type$|"
    r"^universe_domain$",
    re.IGNORECASE,
)
_GOOGLE_NAME = re.compile(r"service_account|private_key$|_credentials$", re.IGNORECASE)
_PATH_STEPS = {"", ".", ".."}
_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|KEY|SAS|PASSWORD|CREDENTIAL|SERVICE_ACCOUNT", re.IGNORECASE
)
_ENCRYPTION_NAME = re.compile(r"_sse_|^sse_|encryption", re.IGNORECASE)  # how a store is to encrypt
_SECRET_VARIABLE = re.compile(rf"(AWS|AZURE|GOOGLE)_\w*({_SECRET_NAME.pattern})")
_EXPECTED = "expected an address such as s3://bucket/prefix, gs://…, az://… or file:///folder"


def check_address(url: str) -> None:
    """Raise a ConfigError unless it is the address of a place for copies, without credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f'config "copy to" is no address: {_EXPECTED}') from None
    if not set("@?#").isdisjoint(url):  # not shown: it may be a secret
        raise ConfigError(
            f'config "copy to": {_EXPECTED}, and nothing else in it. Credentials come from the '
            f'environment, the machine\'s role or the input "{CREDENTIALS_INPUT}"'
        )
    is_folder = parts.scheme == "file"
    has_place = parts.path.startswith("/") and not parts.netloc if is_folder else parts.netloc
    is_plain = _PATH_STEPS.isdisjoint(unquote(parts.path).rstrip("/").split("/")[1:])
    # Only in this form a report's reader knows it: urlsplit takes FILE:/// and file:/ as well.
    is_known = url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))
    if not is_known or not has_place or not is_plain or not url.isprintable():
        raise ConfigError(f'config "copy to" is {one_line(repr(url))}: {_EXPECTED}')


def read_credentials(path: Path | None) -> dict[str, str]:
    """Read the input ``storage-credentials``; empty where none is given.

    Raises:
        ConfigError: It is no JSON object of names and texts as a store may take them. The error
            shows no text that is in it.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE_BYTES + 1)
        problem = f"it is larger than {size_text(_LONGEST_FILE_BYTES)}"
        if len(content) <= _LONGEST_FILE_BYTES:
            found = json.loads(content)
            problem = _problem(found)
            if not problem:
                return dict(found)
    except OSError as error:
        problem = f"it can't be read: {error.strerror}"
    except (ValueError, RecursionError):
        problem = "it is not JSON"
    raise ConfigError(f'input "{CREDENTIALS_INPUT}": {problem}')


def _problem(found: Any) -> str:
    """Say why it can't be credentials; empty if it can."""
    texts = found.values() if isinstance(found, dict) else [None]
    names = found if isinstance(found, dict) else ()
    # A name that is none may be a secret in the wrong place.
    if not all(isinstance(text, str) for text in texts) or not all(map(_NAME.fullmatch, names)):
        return 'expected one object of names and texts, such as {"aws_access_key_id": "…"}'
    for name, text in found.items():
        # As a part of a header or an address, obstore takes nothing else: it panics.
        if not (_GOOGLE_NAME.search(name) or re.fullmatch("[!-~]*", text)):
            return f'"{name}" has a blank, a line break or a letter in it that none may have'
        if re.search("://.*@", text):
            return f'"{name}" has a user or password in its address'
    return ""


def secrets_of(credentials: Mapping[str, str]) -> frozenset[str]:
    """Return what no log may show: those given, and the environment's, in all their forms.

    Names of accounts, regions and addresses are no secrets; what has a name of its own may be one.
    """
    secrets = [value for name, value in credentials.items() if not _HARMLESS_NAME.search(name)]
    secrets += [value for name, value in os.environ.items() if _SECRET_VARIABLE.match(name)]
    return frozenset(form for secret in secrets for form in secret_forms(secret))


def forget_other_secrets(credentials: Mapping[str, str]) -> None:
    """Remove the environment's credentials from this process where others are given.

    obstore takes from there whatever is not given, name by name: a key would be sent with the
    session token of another. What says how a store encrypts is no credential, and stays.
    """
    if any(_SECRET_NAME.search(name) and not _ENCRYPTION_NAME.search(name) for name in credentials):
        for name in [name for name in os.environ if _SECRET_VARIABLE.match(name)]:
            if not _ENCRYPTION_NAME.search(name):
                del os.environ[name]
