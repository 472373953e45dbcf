"""The loop that brings projects to their snapshots: what is due, and what comes of it."""
