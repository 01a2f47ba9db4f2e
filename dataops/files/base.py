"""The migration files that another revision of the git repository has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dataops import source
from dataops.errors import UsageError
from dataops.files import chain
from dataops.model import Migration, Pinned, Service
from dataops.redaction import redact

_DEEPEN = "git fetch --unshallow; in GitHub Actions: actions/checkout with fetch-depth: 0"
_USUAL = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


class Base:
    """A revision of the git repository that has the files.

    Raises UsageError if there is none; `without` says then what to do instead.

    Files that both branches had where they part must not change. Of what the other branch added since, only the
    parents count.
    """

    def __init__(self, revision: str, place: Path, *, without: str = "leave --base out") -> None:
        self._place = place
        if shutil.which("git") is None:
            raise UsageError("--base asks git, which is not installed", hint=f"install git, or {without}")
        if self._git("rev-parse", "--is-inside-work-tree") is None:
            raise UsageError(
                f"--base: {place} is in no git repository" if "not a git repo" in self._said else f"git: {self._said}",
                hint=f"{without}, or run it in the checkout",
            )
        self._shallow = self._git("rev-parse", "--is-shallow-repository") == b"true\n"
        revision = revision or self._usual()
        if revision.startswith("-") or not self._has(revision):
            raise UsageError(
                f"--base: git knows no revision {redact(revision)}"
                + (" in this shallow checkout" if self._shallow else ""),
                hint=_DEEPEN if self._shallow else f"fetch it: git fetch origin {revision.removeprefix('origin/')}",
            )
        self.revision = revision
        parted = self._git("merge-base", revision, "HEAD")
        if parted is None:
            raise UsageError(
                f"--base: {revision} and HEAD have no common commit"
                + (": this checkout is shallow and does not reach back to it" if self._shallow else ""),
                hint=_DEEPEN if self._shallow else "name the branch that this one came from",
            )
        self._parted = parted.decode().strip()

    def _has(self, revision: str) -> bool:
        return self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is not None

    def _usual(self) -> str:
        """The branch that work usually goes into, where nobody names one."""
        found = next((one for one in _USUAL if self._has(one)), None)
        if found is None:
            raise UsageError(
                f"git knows none of {', '.join(_USUAL[1:])}, with which to compare",
                hint="name the branch that this one goes into: --base BRANCH",
            )
        if found == "origin/HEAD":
            found = (self._git("rev-parse", "--abbrev-ref", found) or b"").decode().strip() or found
        return found

    def texts(self, place: Path, *, newest: bool, recursive: bool = False) -> dict[Path, bytes]:
        """The migration files of a folder by path: as the base has them now (`newest`), or had where we part."""
        deep = ["-r"] if recursive else []
        listed = self._git("ls-tree", *deep, "-z", self.revision if newest else self._parted, "./", place=place) or b""
        entries = [entry.split(b"\t", 1) for entry in listed.split(b"\0") if entry]
        blobs = {
            os.fsdecode(name): about.split()[2] for about, name in entries if about.split()[1] == b"blob"
        }  # fmt: skip
        wanted = {place / name: blob for name, blob in blobs.items() if chain.is_migration(Path(name).name)}
        answer = self._git("cat-file", "--batch", given=b"".join(blob + b"\n" for blob in wanted.values())) or b""
        found, at = {}, 0
        for path in wanted:
            end = answer.index(b"\n", at)
            size = int(answer[at:end].split()[2])
            found[path] = answer[end + 1 : end + 1 + size]
            at = end + 2 + size
        return found

    def migrations(self, service: Service, *, newest: bool) -> dict[str, Migration]:
        """Those of its migrations that can be read, by id: as it has them now (`newest`), or had where we part."""
        found = {}
        written = service.kind.format
        recursive = service.alembic is not None and service.alembic.recursive
        for place in chain.places_of(service.kind, service.folder, service.alembic):
            for path, text in self.texts(place, newest=newest, recursive=recursive).items():
                try:
                    source.parse(text)
                    pinned = tuple(self._pinned(service.top, one, newest=newest) for one in source.depends(text))
                    id_, named = source.identity(text, (written.id_variable, written.parent_variable))
                except source.Unreadable:
                    continue
                if written.id_is_file_name:
                    id_ = path.stem
                parents = (named,) if isinstance(named, str) else tuple(named or ())
                if id_ is not None:
                    found[id_] = Migration(id_, parents, path, service.kind, text, pinned=pinned)
        return found

    def _pinned(self, top: Path, name: str, *, newest: bool) -> Pinned:
        """A file that a migration names in `depends`, as it is in the base."""
        content = self._git("show", f"{self.revision if newest else self._parted}:./{name}", place=top)
        return Pinned(name, top / name, None if content is None else source.digest(name, content))

    def _git(self, *arguments: str, given: bytes = b"", place: Path | None = None) -> bytes | None:
        done = subprocess.run(
            ["git", "-C", str(place or self._place), *arguments],
            input=given,
            capture_output=True,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
        self._said = redact(done.stderr.decode(errors="replace")).strip()
        return done.stdout if done.returncode == 0 else None


__all__ = ["Base"]
