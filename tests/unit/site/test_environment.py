"""What the environment gives to the HTTP client, and how a variable that is in the way is told."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from fw_gear_sitewide_snapshot.errors import EXIT_UNUSABLE, ConfigError
from fw_gear_sitewide_snapshot.site.transport import SdkTransport
from tests.support.gear import MakeGear
from tests.support.repository import ROOT

KEY = "127.0.0.1:1:key"

BAD_PROXIES = [
    ("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:1080"),
    ("all_proxy", "socks5h://user:hunter2@127.0.0.1:1080"),
    ("HTTPS_PROXY", "foo://user:hunter2@127.0.0.1:1"),
    ("http_proxy", "http://user:hunter2@127.0.0.1:99999"),
    ("https_proxy", "user:hunter2@127.0.0.1:port"),
    ("HTTP_PROXY", "http://user:hunter2@[::1"),
    ("HTTPS_PROXY", "http://user:hun/ter2@host"),
]
CA_VARIABLES = ["SSL_CERT_FILE", "SSL_CERT_DIR", "FW_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]


@pytest.fixture
def certificates() -> Path:
    """Find this machine's own CA certificates."""
    file = Path(ssl.get_default_verify_paths().openssl_cafile)
    if not file.is_file():
        pytest.skip("this machine has no file of certificates")
    return file


@pytest.mark.parametrize(("name", "value"), BAD_PROXIES)
def test_a_proxy_that_cannot_be_used_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as raised:
        SdkTransport(KEY)
    assert str(raised.value).isprintable()
    assert "hun" not in str(raised.value)


@pytest.mark.parametrize(
    "value", ["*", "[", "http://[::1", "a b", "://", ",,", "x:y:z", "10.0.0/8"]
)
def test_a_broken_no_proxy_is_ignored_or_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", value)
    told = "NO_PROXY"
    try:
        SdkTransport(KEY)
    except ConfigError as error:
        told = str(error)
    assert "NO_PROXY" in told
    assert "hunter2" not in told


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CA_VARIABLES)
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_certificates_that_are_not_there_are_told_by_their_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / "ca"
    if content is not None and name == "SSL_CERT_DIR":
        path.mkdir()
        (path / "ca.pem").write_bytes(content)
    elif content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(name, str(path))
    with pytest.raises(ConfigError, match=rf"\b{name}\b") as raised:
        SdkTransport(KEY)
    assert str(raised.value).isprintable()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "FW_SSL_CERT_FILE"])
def test_a_folder_of_certificates_that_may_not_be_read_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    def refuse(_folder: Path) -> None:  # whoever runs the tests may read everything, as root
        raise PermissionError

    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ConfigError, match=rf"\b{name}\b"):
        SdkTransport(KEY)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "FW_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("place", ["missing/keys", "."])
def test_a_log_of_keys_that_cannot_be_written_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Path, place: str, name: str
) -> None:
    monkeypatch.setenv(name, str(certificates))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / place))
    with pytest.raises(ConfigError, match=r"variable SSLKEYLOGFILE: .* can't be written to"):
        SdkTransport(KEY)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_log_of_keys_that_can_be_written_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    SdkTransport(KEY)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        SdkTransport(KEY)


@pytest.mark.parametrize(
    "value", ["", "http://127.0.0.1:3128", "127.0.0.1:3128", "http://u:p@proxy/"]
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
def test_a_proxy_that_can_be_used_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    SdkTransport(KEY)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_certificates_that_are_there_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificates: Path
) -> None:
    for name in ("SSL_CERT_FILE", "FW_SSL_CERT_FILE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(certificates))
            SdkTransport(KEY)
    (tmp_path / "0123abcd.0").write_bytes(certificates.read_bytes())
    for value in (str(tmp_path), f"/nowhere:{tmp_path}"):
        monkeypatch.setenv("SSL_CERT_DIR", value)
        SdkTransport(KEY)


@pytest.mark.process
def test_the_gear_ends_in_one_line_where_its_environment_is_unusable(
    gear: MakeGear, tmp_path: Path
) -> None:
    folder = gear(**{"project filter": "ALL"})
    folder.prepare()
    nonsense = {f"FLYWHEEL_SDK_{n}": "x" for n in ("CONNECT_TIMEOUT", "BACKOFF_MAX")}
    for name, value in [BAD_PROXIES[0], ("FW_SSL_CERT_FILE", str(tmp_path / "missing"))]:
        ended = subprocess.run(
            [sys.executable, str(ROOT / "run.py")],
            cwd=folder.path,
            check=False,
            env={"PATH": os.defpath, name: value} | nonsense,
            capture_output=True,
            text=True,
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == EXIT_UNUSABLE
        assert "Traceback" not in said
        assert "hunter2" not in said
        (line,) = [line for line in said.splitlines() if " ERROR " in line]
        assert name in line
