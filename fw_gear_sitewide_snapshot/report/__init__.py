"""The outputs: the report and its columns, the page, the metadata, the log."""
