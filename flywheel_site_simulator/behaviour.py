"""How the site behaves where sites differ: the knobs that a test may also turn while it runs.

Values only.
"""

from dataclasses import dataclass
from typing import Literal

ListShape = Literal["bare", "results"]


@dataclass(slots=True)
class Behaviour:
    """The site's pace, and its choice where the true service's answer is not known.

    Attributes:
        create_seconds: how long the answer to a create takes; the work is done at its beginning.
        status_seconds: how long a status call takes.
        list_seconds: how long a list of a project's snapshots takes.
        page_seconds: how long a page of projects takes.
        list_shape: a list of snapshots is bare, or in `{"results": [...]}`.
        create_status: the HTTP status of a create that succeeds.
        whole_seconds: a snapshot's `created` has no fraction.
        admins_see_all: a site administrator reaches each project by its id, without membership.
        content_encoding: downloads bear `Content-Encoding: gzip`, so that HTTP libraries unpack
            them on the way.
        redirect_downloads_to: the address of a storage that downloads are sent to with a signed
            URL; `""`: the site hands them out itself.
        signed_url_seconds: how long such a URL holds.
        signed_urls_once: such a URL holds for one request only.
        list_lag_seconds: a snapshot is in its project's list only so long after its `created`.
        detail_lag_seconds: its detail is a 404 until so long after its `created`.
        download_lag_seconds: its download is a 404 until so long after it finished.
        most_builds: while so many snapshots are unfinished on the site, whoever made them, creates
            are refused with 429; None: any number.
        page_total: a page of projects comes as `{"count", "total", "results"}`.
        project_listing_cut: the list of projects ends after so many, whatever its `total` says;
            None: at its end.
        drip_pause_seconds: how long a download that drips waits after each byte.
    """

    create_seconds: float = 0.0
    status_seconds: float = 0.0
    list_seconds: float = 0.0
    page_seconds: float = 0.0
    list_shape: ListShape = "bare"
    create_status: int = 201
    whole_seconds: bool = False
    admins_see_all: bool = True
    content_encoding: bool = False
    redirect_downloads_to: str = ""
    signed_url_seconds: float = 60.0
    signed_urls_once: bool = False
    list_lag_seconds: float = 0.0
    detail_lag_seconds: float = 0.0
    download_lag_seconds: float = 0.0
    most_builds: int | None = None
    page_total: bool = False
    project_listing_cut: int | None = None
    drip_pause_seconds: float = 3.0

    def delay_seconds(self, kind: str) -> float:
        """Say how long the answer to a kind of request takes."""
        match kind:
            case "create":
                return self.create_seconds
            case "detail":
                return self.status_seconds
            case "list":
                return self.list_seconds
            case "projects":
                return self.page_seconds
        return 0.0
