"""The Flywheel gear that starts a snapshot of every project a filter names, and reports on each."""

__version__ = "1.0.0"
