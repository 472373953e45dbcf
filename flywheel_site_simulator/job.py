"""A job of a gear: laid out in a folder and run there, as the platform does it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PLATFORM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The `PATH` that the platform gives a gear."""

DESTINATION_ID = "a" * 24
"""The id of the project that jobs run in."""


@dataclass
class Job:
    """One job, in a folder of its own.

    Attributes:
        path: the folder; the job's `config.json`, `input/` and `output/` are in there.
        gear: the gear's own folder, with `manifest.json` and `run.py`.
        api_key: what the gear is given as its input `api-key`; None: nothing.
        config: the gear's options by their names.
        job_id: the job's id.
        destination: the id of the project that it runs in.
        python: the Python that it runs with.
    """

    path: Path
    gear: Path
    api_key: str | None
    config: Mapping[str, Any] = field(default_factory=dict)
    job_id: str = "b" * 24
    destination: str = DESTINATION_ID
    python: str = sys.executable

    @property
    def output(self) -> Path:
        """The folder for what the gear puts out."""
        return self.path / "output"

    def lay_out(self, files: Mapping[str, Path] | None = None) -> None:
        """Make the folder, as the platform does before it starts the gear.

        Args:
            files: the files to give the gear, by the names of its inputs; they are copied.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.gear / "manifest.json", self.path)
        copies = {}
        for name, file in (files or {}).items():
            copies[name] = self.path / "input" / name / file.name
            copies[name].parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copies[name])
        document = config_document(self.config, self.api_key, copies, self.job_id, self.destination)
        (self.path / "config.json").write_text(json.dumps(document), encoding="utf-8")

    @contextmanager
    def started(
        self,
        stdout: int | IO[str] = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[str]]:
        """Start the gear in the folder that is laid out; kill it if it outlives the block.

        Args:
            stdout: where its output goes, that to stderr too: one stream keeps the order.
            environment: variables that it has beside those of the platform and the manifest.
        """
        manifest = json.loads((self.gear / "manifest.json").read_text(encoding="utf-8"))
        variables = {"PATH": PLATFORM_PATH, **manifest["environment"], **(environment or {})}
        process = self.start(stdout, variables)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def start(self, stdout: int | IO[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the gear's process in the folder, with these variables and no others."""
        return subprocess.Popen(  # noqa: S603 - the gear that the caller names
            [self.python, str(self.gear / "run.py")],
            cwd=self.path,
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )


def config_document(
    config: Mapping[str, Any],
    api_key: str | None,
    files: Mapping[str, Path] | None = None,
    job_id: str = "b" * 24,
    destination: str = DESTINATION_ID,
) -> dict[str, Any]:
    """Write a job's `config.json`, with the attributes of `Job` and the files that it is given."""
    inputs: dict[str, Any] = {}
    if api_key is not None:
        inputs["api-key"] = {"base": "api-key", "key": api_key}
    for name, file in (files or {}).items():
        inputs[name] = {
            "base": "file",
            "hierarchy": {"type": "project", "id": destination},
            "location": {"name": file.name, "path": str(file)},
            "object": {"type": "tabular data", "size": file.stat().st_size},
        }
    return {
        "config": dict(config),
        "inputs": inputs,
        "destination": {"type": "project", "id": destination},
        "job": {"id": job_id},
    }
