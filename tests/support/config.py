"""A run's config, with the manifest's defaults."""

from dataclasses import replace
from typing import Any

from fw_gear_sitewide_snapshot.parser import GearConfig, parse_config

from .repository import read_manifest


def gear_config(**fields: Any) -> GearConfig:
    """The config of a job that names no option, for all projects, with these fields changed."""
    job = {"config": {"project filter": "ALL"}}
    return replace(parse_config(job, read_manifest()), **fields)
