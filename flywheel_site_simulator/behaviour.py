"""How the site behaves where sites differ: knobs that a test may also turn while it runs.

Values only.
"""

from dataclasses import dataclass
from typing import Literal

ListShape = Literal["bare", "results"]


@dataclass(slots=True)
class Behaviour:
    """The site's pace, and its choice where the true service's answer is not known.

    Attributes:
        build_seconds: shortest and longest time that a snapshot takes, drawn evenly.
        build_slots: how many snapshots are `in_progress` at a time, first come, first served;
            None: all.
        requests_per_second: what comes faster (by the clock) is answered 429; None: no limit.
        retry_after: whether such a 429 says, in seconds, when to come again.
        create_seconds: how long the answer to a create takes; the work is done at its beginning.
        status_seconds: how long a status call takes.
        list_seconds: how long a list of a project's snapshots takes.
        page_seconds: how long a page of projects takes.
        slows_down_at: with n requests under way, each of these times is 1 + (n / this)² times as
            long. So the site gets most done with this many at a time, and less with more; None:
            it never slows down.
        list_shape: a list is bare unless the caller asks for pages, or (of projects and snapshots)
            always comes in `{"count", "total", "results"}`.
        whole_seconds: a snapshot's `created` has no fraction.
        content_encoding: downloads bear `Content-Encoding: gzip`, so that HTTP libraries unpack
            them on the way.
        redirect_downloads_to: the address of a storage that downloads are sent to with a signed
            URL; `""`: the site hands them out itself.
        signed_url_seconds: how long such a URL holds.
        signed_urls_once: such a URL holds for one request only.
        list_lag_seconds: a snapshot is in its project's list only so long after its `created`.
        detail_lag_seconds: its detail is a 404 until so long after its `created`.
        most_builds: while so many snapshots are unfinished on the site, whoever made them, creates
            are refused with 429; None: any number.
        bad_filter_status: what a filter that can't be read is answered with, 400 or 422.
        empty_filter_is_none: `?filter=` is as if there were none; else it is a bad one.
        quoted_parents_match: whether a quoted value of `group` or `parents.…` finds anything.
        project_listing_cut: the list of projects ends after so many, whatever its `total` says;
            None: at its end.
        job_restarts: how often the site starts a failed job again by itself.
        file_tags_stay: whether a new version of a file has the tags of the one before.
        drip_pause_seconds: how long a download that drips waits after each byte.
    """

    build_seconds: tuple[float, float] = (0.0, 0.0)
    build_slots: int | None = None
    requests_per_second: float | None = None
    retry_after: bool = True
    create_seconds: float = 0.0
    status_seconds: float = 0.0
    list_seconds: float = 0.0
    page_seconds: float = 0.0
    slows_down_at: float | None = None
    list_shape: ListShape = "bare"
    whole_seconds: bool = False
    content_encoding: bool = False
    redirect_downloads_to: str = ""
    signed_url_seconds: float = 60.0
    signed_urls_once: bool = False
    list_lag_seconds: float = 0.0
    detail_lag_seconds: float = 0.0
    most_builds: int | None = None
    bad_filter_status: int = 400
    empty_filter_is_none: bool = False
    quoted_parents_match: bool = True
    project_listing_cut: int | None = None
    job_restarts: int = 0
    file_tags_stay: bool = False
    drip_pause_seconds: float = 3.0

    def delay_seconds(self, kind: str) -> float:
        """Say how long the answer to a kind of request takes."""
        seconds = {
            "create": self.create_seconds,
            "detail": self.status_seconds,
            "list": self.list_seconds,
            "projects": self.page_seconds,
        }
        return seconds.get(kind, 0.0)
