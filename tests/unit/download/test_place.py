"""The address for copies and its credentials: what is refused, and what no log may show."""

import base64
import json
import os
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from fw_gear_sitewide_snapshot.download import place
from fw_gear_sitewide_snapshot.download.copies import Copies
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.errors import ConfigError, StoreError
from fw_gear_sitewide_snapshot.text import blank_secrets
from tests.support.object_store import BUCKET, KEY_ID, SECRET, served_store
from tests.support.time import FakeClock

NOWHERE = "http://127.0.0.1:9"  # where nobody listens


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials in the environment, and no machine that would give any."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", NOWHERE)


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/a/b", "gs://b/p", "az://container/p", "file:///mount/p"]
)
def test_an_address_is_taken(url: str) -> None:
    place.check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "bucket/prefix",
        "/mount/prefix",
        "ftp://host/prefix",
        "https://bucket.s3.amazonaws.com/prefix",
        "S4://bucket",
        "s3://",
        "s3:///prefix",
        "file://mount/prefix",
        "file:mount",
        "file:/mount/p",
        "FILE:///mount/p",
        "S3://bucket/p",
        "s3://bucket/a\nb",
        "s3://[bucket",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "file:///mount/./p",
        "file:///mount/%2e%2e/p",
    ],
)
def test_what_is_no_address_says_what_one_is(url: str) -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        place.check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://{KEY_ID}:{SECRET}@bucket/prefix",
        f"az://container/prefix?sig={SECRET}",
        f"s3://bucket/prefix#{SECRET}",
        "file:///mount/p#",
        "file:///mount/p?",
        "s3://bucket/p?",
    ],
)
def test_an_address_with_credentials_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="nothing else in it") as caught:
        place.check_address(url)

    assert SECRET not in str(caught.value)


def test_the_credentials_are_the_file_s_names_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"aws_access_key_id": KEY_ID, "region": "eu-central-1"}))

    assert place.read_credentials(file) == {"aws_access_key_id": KEY_ID, "region": "eu-central-1"}
    assert place.read_credentials(None) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({SECRET: "aws_secret_access_key"}, "expected one object of names and texts"),
        ({"aws_access_key_id": f"{KEY_ID}\n"}, '"aws_access_key_id" has a blank, a line break'),
        ({"aws_session_token": "tök\ud800en"}, '"aws_session_token" has a blank'),
        ({"endpoint": f"{NOWHERE} {SECRET}"}, '"endpoint" has a blank'),
        ({"endpoint": f"http://user:{SECRET}@host"}, '"endpoint" has a user or password'),
        ({"aws_access_key_id": "a" * (1 << 16)}, "it is larger than 64.0 KiB"),
    ],
)
def test_what_no_store_can_take_is_refused_and_not_shown(
    tmp_path: Path, content: dict[str, str], said: str
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(content))

    with pytest.raises(ConfigError) as caught:
        place.read_credentials(file)

    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_google_key_s_line_breaks_are_its_own(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    key = {"type": "service_account", "private_key": "-----BEGIN\nabc\n"}
    file.write_text("\ufeff" + json.dumps(key), encoding="utf-8")

    assert place.read_credentials(file) == key


@pytest.mark.parametrize("name", ["google_application_credentials", "service_account"])
def test_a_key_in_place_of_a_key_s_file_is_not_shown(name: str) -> None:
    key = json.dumps({"private_key": SECRET})

    with pytest.raises(ConfigError) as caught:
        ObjectStore("gs://bucket/x", {name: key})

    assert "[secret]" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_panic_of_the_library_is_an_error_like_others() -> None:
    credentials = {"aws_access_key_id": "a\n", "aws_secret_access_key": SECRET}

    said = try_out("s3://bucket/x", {**credentials, "endpoint": NOWHERE, "region": "x"})

    assert "InvalidHeaderValue" in said


@pytest.mark.parametrize("name", ["endpoint", "aws_endpoint_url", "AWS_ENDPOINT"])
def test_an_endpoint_may_be_plain_http_whatever_its_name(name: str) -> None:
    keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region": "us-east-1"}

    assert "no connection to the store" in try_out("s3://bucket/x", {**keys, name: NOWHERE})


@pytest.mark.parametrize(
    "seen",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"),
        json.dumps(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_blanked_in_every_form(monkeypatch: pytest.MonkeyPatch, seen: str) -> None:
    given = place.secrets_of({"aws_secret_access_key": SECRET, "region": "eu-central-1"})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    inherited = place.secrets_of({})

    for secrets in (given, inherited):
        assert blank_secrets(f"at {seen} in eu-central-1", secrets).strip('"') in {
            "at [secret] in eu-central-1",
            'at "[secret]" in eu-central-1',
        }


def test_a_shared_access_signature_is_blanked_as_xml_has_it() -> None:
    secrets = place.secrets_of({"sas_token": "sv=2024-11-04&sig=<abc>"})

    said = blank_secrets("<Message>sv=2024-11-04&amp;sig=&lt;abc&gt;</Message>", secrets)

    assert said == "<Message>[secret]</Message>"


def try_out(url: str, credentials: dict[str, str]) -> str:
    """Return what a person is told of a place that can't be used."""
    with pytest.raises(ConfigError) as caught:
        Copies(ObjectStore(url, credentials), "site.example.org", FakeClock()).try_out()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"copy to {url}: ")
    return str(caught.value)


MACHINE_S = {
    "AWS_SESSION_TOKEN": "another-key's",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "AZURE_STORAGE_SAS_TOKEN": "sv=1",
    "GOOGLE_SERVICE_ACCOUNT": "/key.json",
}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}, set()),
        ({"AZURE_STORAGE_ACCOUNT_KEY": SECRET, "account_name": "me"}, set()),
        ({"region": "eu-central-1", "endpoint": NOWHERE}, set(MACHINE_S)),
        ({"aws_server_side_encryption": "aws:kms", "aws_sse_kms_key_id": "arn"}, set(MACHINE_S)),
        ({}, set(MACHINE_S)),
    ],
    ids=["S3", "Azure", "no secret", "encryption", "nothing"],
)
def test_a_key_that_is_given_goes_with_no_secret_of_the_machine_s(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], left: set[str]
) -> None:
    settings = {"AWS_REGION": "eu-west-1", "AWS_SSE_KMS_KEY_ID": "arn"}
    for name, value in {**MACHINE_S, **settings}.items():
        monkeypatch.setenv(name, value)

    place.forget_other_secrets(given)

    assert {name for name in MACHINE_S if name in os.environ} == left
    assert {name: os.environ[name] for name in settings} == settings


def test_no_session_token_of_the_machine_s_is_sent_with_a_key_that_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", MACHINE_S["AWS_SESSION_TOKEN"])
    seen: list[Message] = []

    class Refuses(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            seen.append(self.headers)
            self.send_error(403)

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
        assert "403" in try_out(
            f"s3://{BUCKET}/x", {**keys, "endpoint": endpoint, "region": "us-east-1"}
        )
        server.shutdown()

    assert {KEY_ID in headers["Authorization"] for headers in seen} == {True}
    assert [headers["x-amz-security-token"] for headers in seen] == [None] * len(seen)


def test_without_credentials_it_says_where_they_were_looked_for() -> None:
    said = try_out(f"s3://{BUCKET}/x", {"endpoint": NOWHERE, "region": "us-east-1"})

    assert "no credentials were found: neither in the environment, nor a role" in said


def test_a_wrong_key_is_told_in_the_store_s_words_without_the_key() -> None:
    with served_store(INITIAL_NO_AUTH_ACTION_COUNT="1") as server:  # the bucket's own making
        said = try_out(f"s3://{BUCKET}/x", server.credentials())

    assert "the store says 403 Forbidden: InvalidAccessKeyId" in said
    assert SECRET not in said


def test_a_refusal_does_not_pass_whatever_the_place_is_called() -> None:
    with served_store(INITIAL_NO_AUTH_ACTION_COUNT="1") as server:
        store = ObjectStore(f"s3://{BUCKET}/a connection by dns", server.credentials())
        with pytest.raises(StoreError) as caught:
            store.put_new("key", b"content")

    assert not caught.value.may_pass


def test_what_is_gone_already_can_be_removed(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}/p", {})
    store.put_new("a/b", b"content")

    store.delete("a/b")
    store.delete("a/b")  # as after an answer that was lost

    assert store.size("a/b") is None


def test_a_trial_leaves_nothing(tmp_path: Path) -> None:
    Copies(ObjectStore(f"file://{tmp_path}/p", {}), "", FakeClock()).try_out()

    assert list((tmp_path / "p").iterdir()) == []


def test_a_folder_that_can_t_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file")

    with pytest.raises(ConfigError, match="File exists"):
        ObjectStore(f"file://{tmp_path}/p", {})
