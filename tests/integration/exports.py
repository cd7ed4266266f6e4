"""What the tests of export share."""

from pathlib import Path

from tests.project import Project

PROTOCOL = "Präsident Dr. Norbert Lammert:\nGrüß Gott – liebe Kolleginnen und Kollegen, „schön“.\n\n"


def exported(project: Project, changes: dict[str, str] | None = None) -> Path:
    """Prepare, train and export; the folder that all went to."""
    project.configure(changes or {})
    for verb in ("prepare", "train", "export"):
        project.ok(verb)
    return project.out / "export"
