"""Checks what the environment gives to the HTTP client: proxies, CA certificates, a log of keys.

The client itself would end with a traceback, or find no certificate at all. Here one line names the
variable, and nothing of a proxy's address: it may hold a password.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..text import one_line

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
# The first one that is set counts. The SDK reads all but the last by itself.
_CA_VARIABLES = ("FW_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")


def check_proxies() -> None:
    """Raise ConfigError where a variable holds no HTTP proxy's address."""
    for name, address in sorted(os.environ.items()):
        if name.lower() in _PROXIES and address and not _is_proxy(address):
            raise proxy_error(name)


def proxy_error(*names: str) -> ConfigError:
    """Return the error for unusable proxies; without names, any variable that is set may be it."""
    names = names or tuple(sorted(name for name in os.environ if name.lower().endswith("_proxy")))
    which = " or ".join(names) or "of a proxy"
    return ConfigError(f"environment variable {which}: expected http://host:port of a proxy")


def _is_proxy(address: str) -> bool:
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def find_ca_bundle() -> str | None:
    """Return the path of CA certificates in a variable that the SDK doesn't read; or None.

    A file is read by the client alone, as that takes a while: see ``tls_error``.

    Raises:
        ConfigError: A variable, of these or the SDK's, names a folder that holds no certificates.
    """
    name = next(filter(os.environ.get, _CA_VARIABLES), "")
    path = os.environ.get(name, "")
    if name == "SSL_CERT_DIR" or (name not in {"", "SSL_CERT_FILE"} and Path(path).is_dir()):
        folders = [Path(folder) for folder in path.split(os.pathsep)]
        files = [item.name for folder in folders if folder.is_dir() for item in folder.iterdir()]
        if not any(map(_HASHED_NAME.fullmatch, files)):  # OpenSSL reads no others
            raise _ca_error()
    return path if name == _CA_VARIABLES[-1] else None


def tls_error(error: OSError) -> ConfigError:
    """Return the error for the file that the client could not open."""
    name = "SSLKEYLOGFILE"  # Python opens it for each client, to append to it
    if error.filename and error.filename == os.environ.get(name):
        path = one_line(error.filename)
        return ConfigError(f"environment variable {name}: {path} can't be written to")
    return _ca_error()


def _ca_error() -> ConfigError:
    name = next(filter(os.environ.get, _CA_VARIABLES), "")
    if not name:
        return ConfigError(f"no CA certificates can be read; {_CA_VARIABLES[0]} may name some")
    path = one_line(os.environ[name])
    return ConfigError(f"environment variable {name}: no CA certificates can be read from {path}")
