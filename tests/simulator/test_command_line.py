"""`python -m flywheel_site_simulator`."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest

from flywheel_site_simulator.__main__ import announcement, main, make_site, parse_arguments
from tests.simulator.caller import Caller
from tests.support.repository import ROOT


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "flywheel_site_simulator", "--projects", "3"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "with 3 projects" in process.stdout.readline()
        host, port, _, secret = process.stdout.readline().removeprefix("API key: ").split(":")
        headers = {"Authorization": f"scitran-user {secret.strip()}"}
        request = urllib.request.Request(f"http://{host}:{port}/api/projects", headers=headers)
        with urllib.request.urlopen(request) as answer:
            assert len(json.load(answer)) == 3
        process.send_signal(stop)
        _, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (0, "")


def listed(arguments: Sequence[str]) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = (
        Caller(make_site(parse_arguments(arguments))).projects(limit="0").document
    )
    return documents


def test_labels_are_such_as_people_give() -> None:
    labels = [project["label"] for project in listed([])]
    assert len(labels) == 40
    assert any("," in label for label in labels)
    assert any("ü" in label for label in labels)
    assert 2 < sum(label.endswith("-accepted") for label in labels) < 40
    assert {"001", "NA"} <= set(labels)


def test_projects_are_spread_over_the_groups() -> None:
    projects = listed(["--projects", "30", "--groups", "7"])
    assert len({project["group"] for project in projects}) == 7


def test_the_seed_decides_the_machines_part_of_the_ids() -> None:
    parts = [{p["_id"][8:18] for p in listed(["--seed", seed])} for seed in "112"]
    assert parts[0] == parts[1] != parts[2]


def test_so_many_projects_fail_and_so_many_are_slow() -> None:
    options = ["--projects", "5", "--failing", "2", "--slow", "1", "--build-seconds", "0"]
    caller = Caller(make_site(parse_arguments([*options, "--create-seconds", "0"])))
    ids = [project["_id"] for project in caller.projects().document]
    answers = [caller.create(project_id) for project_id in ids]
    states = [caller.site.snapshots(project_id)[0].status for project_id in ids]
    assert states == ["failed", "failed", "complete", "complete", "complete"]
    assert [answer.delay_seconds for answer in answers] == [0, 0, 0, 0, 5]


def test_the_example_config_names_the_key() -> None:
    text = announcement("host:1:key", 1)
    config = json.loads(text[text.index("{") :])
    assert config["inputs"]["api-key"]["key"] == "host:1:key"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--build-seconds", "4:1"],
        ["--build-seconds", "soon"],
        ["--projects", "-1"],
        ["--groups", "0"],
    ],
)
def test_a_command_line_without_sense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err
