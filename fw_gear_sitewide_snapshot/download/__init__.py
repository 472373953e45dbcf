"""Snapshots fetched, verified and archived."""
