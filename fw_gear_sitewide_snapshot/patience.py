"""Superseded by retry."""

from .retry import backoff_seconds as pause_seconds

__all__ = ["pause_seconds"]
