"""Batches of complete snapshots that are copied."""

from typing import Any, TypeVar

from fw_gear_sitewide_snapshot.download.copies import Copies
from fw_gear_sitewide_snapshot.download.object_store import ObjectStore
from fw_gear_sitewide_snapshot.models import SnapshotRecord
from fw_gear_sitewide_snapshot.site.client import Site
from tests.support.downloads import Fetching, fetch_all

Store = TypeVar("Store", bound=ObjectStore)


class Copying:
    """A batch of complete snapshots that are copied, and the place where the copies go."""

    def __init__(self, fetching: Fetching, url: str, credentials: dict[str, str]) -> None:
        self.fetching = fetching
        store = ObjectStore(url, credentials)
        self.copies = Copies(store, "site.example.org", fetching.clock)

    def use(self, store: Store) -> Store:
        """Copy into another store."""
        self.copies = Copies(store, "site.example.org", self.fetching.clock)
        return store

    def run(
        self, records: list[SnapshotRecord] | None = None, **how: Any
    ) -> dict[str, SnapshotRecord]:
        """Copy; return the rows afterwards, by project."""
        records = self.fetching.records if records is None else records
        after = {record.project.id: record for record in records}
        options: dict[str, Any] = {"is_archived": False, **how}
        try:
            fetch_all(
                records,
                told=after,
                site=Site(self.fetching.transport, self.fetching.clock),
                workers=self.fetching.workers,
                clock=self.fetching.clock,
                work=self.fetching.work,
                output=self.fetching.output,
                copies=self.copies,
                **options,
            )
        finally:
            assert list(self.fetching.work.iterdir()) == []
        return after
