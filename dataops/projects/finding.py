"""Finds the migrations that are in a folder and below it, of every tool that we know. Runs nothing.

Each tool is known by what it leaves behind: its configuration, the names of its files, or the first lines of a few of
them. A folder may have a hundred thousand files: each folder is listed once, and only a few files are opened.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataops import alembicini, source
from dataops.errors import ConfigError
from dataops.kinds import MONGODB, POSTGRESQL, Kind

DEPTH = 7  # SERVICE/src/main/resources/db/migration, and one folder around it
_FOLDERS = 5_000
_BYTES = 100_000
_LOOK_INTO = 5
_SKIPPED = {
    "__pycache__", "build", "dist", "env", "node_modules", "site-packages", "target", "vendor", "venv", "virtualenv",
}  # fmt: skip
_PYMONGO_MIGRATE = re.compile(rb"^dependencies\b[^=\n]*=", re.MULTILINE)
_UPGRADE = re.compile(rb"^(async )?def upgrade\(", re.MULTILINE)
_VARIABLE = re.compile(
    r"""(?:environ(?:\.get)?|getenv|env|config)\s*[\[(]\s*["']([A-Za-z_]\w*)["']|process\.env(?:\.|\[["'])([A-Za-z_]\w*)"""
)
_OF_A_DATABASE = re.compile(r"URL|URI|DSN|(?<![A-Z])CON(?![A-Z])|DATABASE_CONNECTION", re.IGNORECASE)
_FLYWAY = re.compile(r"[VUR][\d._]*__.+\.sql")
_GOLANG = re.compile(r"\d+_.*\.(up|down)\.(sql|json)")
_NUMBERED = re.compile(r"\d+_.+\.sql")
_NODE_PG_MIGRATE = re.compile(r"\d{13,17}_.+\.(sql|[cm]?js|ts)")
_TYPEORM = re.compile(r"\d{13}-.+(?<!\.d)\.(js|ts)")
_LIQUIBASE = re.compile(rb"\s*--\s*liquibase\s+formatted\s+sql\b", re.IGNORECASE)
_POSTGRES_NAMES = {"pg", "postgres", "postgresql", "pgnative", "cockroachdb"}


@dataclass(frozen=True)
class Found:
    """The migrations of one tool in one folder.

    `engine` is the kind of database. `told_by` is the file that names the folder, and `section` its section there.
    `variable` is the one environment variable that the project reads the URL from, where that is clear, and
    `database` the database that the project names beside the URL. `url_in_ini`: alembic.ini has the whole URL. With a
    `problem`, dataops cannot work with them; it says why.
    """

    tool: str
    engine: Kind
    folder: Path
    files: int = 0
    told_by: Path | None = None
    section: str = ""
    variable: str = ""
    problem: str = ""
    database: str = ""
    url_in_ini: bool = False


@dataclass
class _Folder:
    """A folder of the walk, listed once."""

    path: Path
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def starting(self, *names: str) -> Path | None:
        """The first file with one of these names, whatever its extension is."""
        return next((self.path / file for file in self.files if file.partition(".")[0] in names), None)


@dataclass(frozen=True)
class Search:
    """What was found, in the order of the folders. `whole` says whether every folder was looked into."""

    found: tuple[Found, ...]
    whole: bool = True


def find(top: Path) -> Search:
    """Look into `top` and the folders below it. Raises ConfigError for a file of a project that cannot be read."""
    folders, whole = _folders(top)
    by_path = {folder.path: folder for folder in folders}
    found: list[Found] = []
    taken: set[Path] = set()
    for detect in (_alembic, _configured, _sql, _pymongo_migrate, _django):
        for folder in folders:
            for one in detect(folder, by_path, taken):
                found.append(one)
                taken.add(one.folder)
    one_django = [one for one in found if one.tool == "django"]
    for other in one_django[1:]:  # they have one record, and one manage.py
        found.remove(other)
    _refuse_two_in_one_folder(found, by_path)
    return Search(tuple(sorted(found, key=lambda one: (str(one.folder), one.tool))), whole)


def _folders(top: Path) -> tuple[list[_Folder], bool]:
    found: list[_Folder] = []
    left = deque([(top, 0)])
    while left:
        if len(found) >= _FOLDERS:
            return found, False
        path, depth = left.popleft()
        folder = _Folder(path)
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folder.folders.append(entry.name)
                    else:
                        folder.files.append(entry.name)
        except OSError as error:
            if path == top:
                raise ConfigError(f"{path}: {error.strerror}", hint="make the folder readable") from error
            continue
        if "pyvenv.cfg" in folder.files:
            continue
        folder.files.sort()
        folder.folders = sorted(name for name in folder.folders if name not in _SKIPPED and not name.startswith("."))
        found.append(folder)
        if depth < DEPTH:
            left.extend((path / name, depth + 1) for name in folder.folders)
    return found, True


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _bytes(path: Path) -> bytes:
    """The beginning of a file; nothing where it is not a regular file or cannot be read, for it may not be ours."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(_BYTES)
    except OSError:
        return b""


def _first(folder: _Folder, wanted: Callable[[str], object]) -> list[Path]:
    names = [name for name in folder.files if wanted(name)]
    return [folder.path / name for name in names[:_LOOK_INTO]]


def _count(folder: _Folder | None, wanted: Callable[[str], object]) -> int:
    return sum(1 for name in folder.files if wanted(name)) if folder is not None else 0


def _is_python(name: str) -> bool:
    return name.endswith(".py") and not name.startswith(("__", "."))


def variable_in(*texts: str) -> str:
    """The environment variable that holds a URL, by the text of a project's file; "" where there is not just one."""
    names = {name for text in texts for pair in _VARIABLE.findall(text) for name in pair if name}
    of_databases = sorted(name for name in names if _OF_A_DATABASE.search(name))
    return of_databases[0] if len(of_databases) == 1 else ""


# --- Alembic


def _alembic(folder: _Folder, by_path: dict[Path, _Folder], taken: set[Path]) -> Iterator[Found]:
    for name in ("alembic.ini", "pyproject.toml"):
        if name not in folder.files:
            continue
        path = folder.path / name
        if not path.is_file():  # a pipe, or a link that leads nowhere
            continue
        sections: dict[Path, list[alembicini.Location]] = {}
        for location in alembicini.locations(path):
            sections.setdefault(location.folder, []).append(location)
        for place, locations in sections.items():
            if place not in taken:
                yield _alembic_project(path, place, locations, by_path)


def _alembic_project(
    path: Path, place: Path, locations: Sequence[alembicini.Location], by_path: dict[Path, _Folder]
) -> Found:
    env = _text(place / "env.py")
    ini = alembicini.find(place, path.parent)
    files = sum(
        _count(by_path.get(one) or _listed(one), _is_python) for one in (ini.versions if ini else (place / "versions",))
    )
    problem = ""
    schemes = {location.scheme.partition("+")[0] for location in locations} - {"", "driver"}
    if not env:
        problem = f"there is no {place / 'env.py'}"
    elif any(location.several for location in locations) and "databases" in env:
        problem = "one history for several databases (Alembic's multidb template), which dataops does not read"
    elif schemes and not schemes & set(POSTGRESQL.schemes):
        problem = f"its database is {', '.join(sorted(schemes))}, and not PostgreSQL"
    return Found(
        "alembic",
        POSTGRESQL,
        place,
        files,
        path,
        " and ".join(location.section for location in locations),
        variable_in(env),
        problem,
        url_in_ini=len(locations) == 1 and not variable_in(env) and bool(schemes & set(POSTGRESQL.schemes)),
    )


def _listed(path: Path) -> _Folder | None:
    """A folder outside of those that were walked through."""
    try:
        return _Folder(path, sorted(os.listdir(path)))
    except OSError:
        return None


# --- tools that have a configuration


def _configured(folder: _Folder, by_path: dict[Path, _Folder], taken: set[Path]) -> Iterator[Found]:
    yield from _migrate_mongo(folder, by_path)
    yield from _knex(folder, by_path)
    yield from _scripts(folder, by_path)
    if "migration_lock.toml" in folder.files:
        provider = re.search(r'provider\s*=\s*"(\w+)"', _text(folder.path / "migration_lock.toml"))
        count = sum(1 for name in folder.folders if (folder.path / name / "migration.sql").is_file())
        schema = folder.path.parent / "schema.prisma"
        lock = folder.path / "migration_lock.toml"
        variable = variable_in(_text(schema), _text(folder.path.parent.parent / "prisma.config.ts"))
        yield _by_dialect("prisma", folder.path, count, lock, provider[1] if provider else "", variable)
    if "meta" in folder.folders and (journal := folder.path / "meta" / "_journal.json").is_file():
        dialect = re.search(r'"dialect"\s*:\s*"(\w+)"', _text(journal))
        count = _count(folder, lambda name: name.endswith(".sql"))
        config = next(
            (told for near in (folder.path.parent, folder.path.parent.parent)
             if near in by_path and (told := by_path[near].starting("drizzle"))),
            None,
        )  # fmt: skip
        variable = variable_in(_text(config)) if config else ""
        yield _by_dialect("drizzle", folder.path, count, config or journal, dialect[1] if dialect else "", variable)


def _by_dialect(tool: str, folder: Path, count: int, told_by: Path, dialect: str, variable: str) -> Found:
    problem = "" if dialect in ("", *_POSTGRES_NAMES) else f"its database is {dialect}, and not PostgreSQL"
    return Found(tool, POSTGRESQL, folder, count, told_by, variable=variable, problem=problem)


def _migrate_mongo(folder: _Folder, by_path: dict[Path, _Folder]) -> Iterator[Found]:
    config = folder.starting("migrate-mongo-config")
    if config is None:
        return
    text = _text(config)
    named = re.search(r"migrationsDir[\"']?\s*:\s*[\"']([^\"']+)[\"']", text)
    place = _inside(folder.path, named[1] if named else "migrations")
    database = re.search(r"databaseName[\"']?\s*:\s*[\"']([\w-]+)[\"']", text)
    known = database[1] if database and database[1] != "YOURDATABASENAME" else ""  # what `migrate-mongo init` writes
    count = _count(by_path.get(place), lambda name: name.endswith((".js", ".ts", ".cjs", ".mjs")))
    yield Found("migrate-mongo", MONGODB, place, count, config, variable=variable_in(text), database=known)


def _knex(folder: _Folder, by_path: dict[Path, _Folder]) -> Iterator[Found]:
    config = folder.starting("knexfile")
    if config is None:
        return
    text = _text(config)
    named = re.search(r"directory[\"']?\s*:\s*[\"']([^\"']+)[\"']", text)
    place = _inside(folder.path, named[1] if named else "migrations")
    clients = set(re.findall(r"client[\"']?\s*:\s*[\"']([\w-]+)[\"']", text))
    other = "" if not clients or clients & _POSTGRES_NAMES else sorted(clients)[0]
    count = _count(by_path.get(place), lambda name: name.endswith((".js", ".ts", ".cjs", ".mjs")))
    yield _by_dialect("knex", place, count, config, other, variable_in(text))


def _scripts(folder: _Folder, by_path: dict[Path, _Folder]) -> Iterator[Found]:
    """node-pg-migrate has no configuration, only a package.json that names it; TypeORM's files say what they are."""
    numbered = [name for name in folder.files if _NODE_PG_MIGRATE.fullmatch(name)]
    package = _above(folder.path, by_path, "package.json", "node-pg-migrate") if numbered else None
    if package is not None:
        count = len({name.partition(".")[0] for name in numbered})
        yield Found("node-pg-migrate", POSTGRESQL, folder.path, count, package, variable="DATABASE_URL")
    dated = [name for name in folder.files if _TYPEORM.fullmatch(name)]
    if any(b"MigrationInterface" in _bytes(folder.path / name) for name in dated[:_LOOK_INTO]):
        yield Found("typeorm", POSTGRESQL, folder.path, len(dated))


def _inside(folder: Path, name: str) -> Path:
    return Path(os.path.normpath(folder / name))


# --- tools that are known by their SQL files


def _sql(folder: _Folder, by_path: dict[Path, _Folder], taken: set[Path]) -> Iterator[Found]:
    if folder.path in taken:
        return
    sql = [name for name in folder.files if name.endswith(".sql")]
    texts = [_bytes(folder.path / name) for name in sql[:_LOOK_INTO]]
    cargo = _cargo(folder.path, by_path)
    tool, engine, count = "", POSTGRESQL, len(sql)
    if any(b"-- migrate:up" in text for text in texts):
        tool = "dbmate"
    elif any(b"-- +goose" in text for text in texts):
        tool = "goose"
    elif flyway := [name for name in sql if _FLYWAY.fullmatch(name)]:
        tool, count = "flyway", len(flyway)
    elif golang := [name for name in folder.files if _GOLANG.fullmatch(name)]:
        ups = [name for name in golang if re.search(r"\.up\.\w+$", name)]
        tool, count = ("golang-migrate", len(ups)) if cargo is None else ("sqlx", len(ups))
        engine = POSTGRESQL if golang[0].endswith(".sql") else MONGODB
    elif any(_LIQUIBASE.match(text) for text in texts):
        tool = "liquibase"
    elif cargo is not None and any(_NUMBERED.fullmatch(name) for name in sql):
        tool = "sqlx"
    if tool:
        variable = {"sqlx": "DATABASE_URL", "dbmate": "DATABASE_URL"}.get(tool, "")
        yield Found(tool, engine, folder.path, count, cargo if tool == "sqlx" else None, variable=variable)


def _cargo(path: Path, by_path: dict[Path, _Folder]) -> Path | None:
    """The Cargo.toml in this folder or above it that names sqlx."""
    return _above(path, by_path, "Cargo.toml", "sqlx")


def _above(path: Path, by_path: dict[Path, _Folder], file: str, word: str) -> Path | None:
    """The nearest file of that name, in this folder or above it, if it has the word in it."""
    while path in by_path:
        if file in by_path[path].files and word in _text(path / file):
            return path / file
        path = path.parent
    return None


# --- tools that are known by their Python files


def _pymongo_migrate(folder: _Folder, by_path: dict[Path, _Folder], taken: set[Path]) -> Iterator[Found]:
    if folder.path not in taken and any(_is_pymongo_migrate(path) for path in _first(folder, _is_python)):
        yield Found("pymongo-migrate", MONGODB, folder.path, _count(folder, _is_python))


def _is_pymongo_migrate(path: Path) -> bool:
    text = _bytes(path)
    if b"down_revision" in text or not (_PYMONGO_MIGRATE.search(text) and _UPGRADE.search(text)):
        return False
    try:
        return "dependencies" in source.names(source.parse(text))  # a script that makes migrations has it in a string
    except source.Unreadable:  # `lint` then says why
        return True


def _django(folder: _Folder, by_path: dict[Path, _Folder], taken: set[Path]) -> Iterator[Found]:
    if folder.path.name != "migrations":
        return
    if any(b"class Migration(migrations.Migration)" in _bytes(path) for path in _first(folder, _is_numbered)):
        home = folder.path.parent
        while home.parent in by_path and "manage.py" not in by_path[home].files:
            home = home.parent
        manage = home / "manage.py"
        yield Found("django", POSTGRESQL, home, 0, manage if manage.is_file() else None)


def _is_numbered(name: str) -> bool:
    return re.match(r"\d{4}_.*\.py$", name) is not None


def _refuse_two_in_one_folder(found: Iterable[Found], by_path: dict[Path, _Folder]) -> None:
    """Files of Alembic and of pymongo-migrate in one folder: each of the two tools fails on those of the other."""
    for one in found:
        if one.tool != "alembic":
            continue
        for place in (one.folder, one.folder / "versions"):
            stray = [
                path for path in _first(by_path.get(place, _Folder(place)), _is_python) if _is_pymongo_migrate(path)
            ]
            if stray:
                raise ConfigError(
                    f"{place} has files of both Alembic and pymongo-migrate, such as {stray[0].name}",
                    hint="move the files of one of them into a folder of their own",
                )


__all__ = ["Found", "Search", "find", "variable_in"]
