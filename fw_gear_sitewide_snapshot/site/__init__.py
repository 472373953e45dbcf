"""Calls to a Flywheel site: the only package that knows flywheel-sdk, HTTP, retries and rates."""
