"""Projects for a site to try things against, with labels such as people give."""

from .site import SimulatedSite

GROUPS = ("neuro", "cardio", "onco", "pedia", "radio")
LABELS = (
    "Ageing-2024-accepted",
    "Tumour atlas",
    "Herz, Lunge",
    "Frühgeborene",
    "Stroke-accepted",
    "001",
    "NA",
    "Twin study",
)


def add_projects(site: SimulatedSite, projects: int, groups: int, failing: int = 0) -> list[str]:
    """Add projects, spread evenly over groups.

    Args:
        site: where to add them.
        projects: how many projects.
        groups: how many groups.
        failing: how many projects' first snapshots fail: those of the first ones.

    Returns:
        The projects' ids.
    """
    ids = [
        site.add_project(_group_name(number % groups), _project_label(number))
        for number in range(projects)
    ]
    for project_id in ids[:failing]:
        site.outcome(project_id, "failed")
    return ids


def _group_name(number: int) -> str:
    return GROUPS[number] if number < len(GROUPS) else f"group-{number + 1:03d}"


def _project_label(number: int) -> str:
    if number < len(LABELS):
        return LABELS[number]
    return f"Study {number + 1:05d}" + ("-accepted" if number % 3 == 0 else "")
