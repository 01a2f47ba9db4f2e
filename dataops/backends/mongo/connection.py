"""Clients of one MongoDB database, and what their errors mean for a person."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri

from dataops import urls
from dataops.errors import ConfigError, DataopsError, PermissionDenied, Refused, Unreachable
from dataops.model import Service
from dataops.redaction import message_of, redact

warnings.filterwarnings("ignore", module="pymongo")  # about the options in a URL: the wrong ones are errors here

_NOT_OURS = {
    "w": "a write that nobody acknowledges may fail unseen",
    "socketTimeoutMS": "the server would go on with a command that we have given up",
    "timeoutMS": "the server would go on with a command that we have given up",
    "readPreference": "what was just written has to be seen",
    "readPreferenceTags": "what was just written has to be seen",
    "maxStalenessSeconds": "what was just written has to be seen",
}
"""Options of a MongoDB URL that are not for migrations, each with the reason; `w` only where it is 0."""

_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = {11, 18, 8000}  # an unknown user; a wrong password; either of them on Atlas
_NO_PRIMARY = re.compile("No primary available|No replica set members match selector .Primary")
_DIFFERENT_CASE = 13297  # a database whose name differs in capitals only
_WRITE_CONCERN = {64, 79, 100}  # not met in time; a name that the set does not know; more members than there are
_ANSWER_SECONDS = 10.0  # for a server that is connected and does not answer a short question, beside `timeouts.connect`

Document = dict[str, Any]


class Server:
    """How to reach the database of one service. It makes clients and keeps none of them."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def address(self) -> str:
        """The servers and the database, as the URL names them."""
        parsed = parse_uri(self.service.url, validate=False) if "+srv" not in self.service.url else {}
        nodes = sorted(f"{host}:{port}" for host, port in parsed.get("nodelist", []))
        name = self.service.url.split("?")[0].rsplit("/", 1)[-1]
        return f"{','.join(nodes)}/{name}" if nodes else f"{self.service.url.split('@')[-1].split('?')[0]}"

    @cached_property
    def overridden(self) -> tuple[str, ...]:
        """What the URL says and we do not do, because it is meant for an application and would harm a migration."""
        given = urls.options_of(self.service.url)
        return tuple(
            f"{name}={redact(given[name.lower()])} in the URL is not used: {why}"
            for name, why in _NOT_OURS.items()
            if name.lower() in given and (name != "w" or given["w"].strip() == "0")
        )

    def client(self, name: str, **settings: Any) -> MongoClient[Document]:
        """A new client, which the caller has to close. `name` is its appName. It connects when it is first used.

        It waits for acknowledgements and reads from the primary, whatever the URL says. Raises ConfigError, and
        Unreachable when a host name cannot be looked up.
        """
        connect = round(self.service.timeouts.connect * 1000)
        url = urls.without_options(self.service.url, {text.partition("=")[0].lower() for text in self.overridden})
        given = urls.options_of(url)
        defaults = {"serverSelectionTimeoutMS": connect, "connectTimeoutMS": connect, "w": "majority"}
        options: dict[str, Any] = {key: value for key, value in defaults.items() if key.lower() not in given}
        try:
            self._refuse_wrong_options()
            return MongoClient(url, appname=name[:128], connect=False, **{"tz_aware": True, **options, **settings})
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise self._explained(error) from None

    def client_to_ask(self) -> MongoClient[Document]:
        """A new client for short questions: one that the server does not answer in time fails."""
        seconds = self.service.timeouts.connect + _ANSWER_SECONDS
        # "poll" needs one connection less than the default. It notices a new primary late, but a question is short.
        return self.client("dataops", serverMonitoringMode="poll", socketTimeoutMS=round(seconds * 1000))

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise our own errors for all those of the driver, and for answers that cannot be read."""
        try:
            yield
        except ConfigurationError as error:
            raise self._explained(error) from None
        except (PyMongoError, BSONError, UnicodeError) as error:
            raise self.explained(error) from error

    def explained(self, error: PyMongoError | BSONError | UnicodeError) -> DataopsError:
        """Our error for one that the driver raised."""
        kind: type[DataopsError] = Refused
        text, hint = error_text(error), None
        if isinstance(error, ServerSelectionTimeoutError):
            kind, text = Unreachable, f"cannot connect to {self.address}: {message_of(error).split(', Timeout:')[0]}"
            hint = (
                "is the server up and the address right? dataops apply --wait 60s waits for a server that is starting"
            )
            if _NO_PRIMARY.search(str(error)):
                text = f"the replica set at {self.address} has no primary: has it lost its majority?"
                hint = "start its other members; run again when one of them is the primary"
        elif isinstance(error, ConnectionFailure):
            kind, hint = Unreachable, "run again when the server is well"
        elif isinstance(error, WriteConcernError) or (
            isinstance(error, OperationFailure) and error.code in _WRITE_CONCERN
        ):
            text = f"the write concern was not met: {text}"
            hint = "w in the URL asks for more servers than answer, or for a name that the replica set does not know"
        elif isinstance(error, OperationFailure) and error.code == _DIFFERENT_CASE:
            kind, hint = ConfigError, "write the name of the database in the URL as the server has it"
        elif isinstance(error, OperationFailure) and error.code in _AUTHENTICATION_FAILED:
            kind, hint = PermissionDenied, "check user, password and authSource in the URL"
        elif isinstance(error, OperationFailure) and error.code == _UNAUTHORIZED:
            kind, hint = PermissionDenied, "what each command needs: dataops docs operations rights"
        elif isinstance(error, UnicodeError):
            text = f"a name in the URL, or an answer of the server, is not text: {text}"
        return kind(text, service=self.service.name, hint=hint)

    def _explained(self, error: Exception) -> ConfigError | Unreachable:
        """Our error for a wrong URL, or for a host name that cannot be looked up at the first question."""
        if type(error.__cause__).__module__.startswith("dns."):
            return Unreachable(
                f"cannot look up {self.address}: {message_of(error)}",
                service=self.service.name,
                hint="is the name right, and does this machine reach its name server?",
            )
        if "wire version" in str(error):
            return ConfigError(
                f"this server and this driver do not understand each other: {message_of(error)}",
                service=self.service.name,
                hint="dataops needs MongoDB 6.0 or newer",
            )
        # The parser's own message is not shown, because it may quote a piece of the password.
        return ConfigError(
            "the URL is not a valid MongoDB URL",
            service=self.service.name,
            hint="characters such as @ : / % in a user or password have to be escaped: %40 %3A %2F %25",
        )

    def _refuse_wrong_options(self) -> None:
        """Raise ConfigError for a wrong option in the URL. The driver would only warn, and `tls=ture` means no TLS."""
        url = self.service.url.replace("mongodb+srv://", "mongodb://", 1)
        parse_uri(url, validate=False)
        try:
            parse_uri(url)
        except OSError as error:
            raise ConfigError(
                f"a file that the URL names, {redact(str(error.filename))}: {error.strerror}", service=self.service.name
            ) from error
        except (ConfigurationError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the URL has a wrong option: {message_of(error)}",
                service=self.service.name,
                hint="the options are listed in MongoDB's manual under connection strings",
            ) from None


def database_of(client: MongoClient[Document]) -> Database[Document]:
    """The database that the URL names. Reads go to the primary, because they have to see what was just written."""
    database: Database[Document] = client.get_default_database()
    return database.with_options(read_preference=ReadPreference.PRIMARY)


def error_text(error: BaseException) -> str:
    """One line without secrets: the class of the error, and the server's message."""
    details = getattr(error, "details", None)
    server_text = details.get("errmsg") if isinstance(details, Mapping) else None
    text = redact(str(server_text)) if server_text else message_of(error)
    text = text.split(", Timeout:")[0]  # the driver adds a description of all servers
    # The server repeats the whole command that it refused, with its session and signatures. We keep its name.
    text = re.sub(r'(to execute command) \{ (\w+): ("[^"]*"|[^,}]*).*', r"\1 \2 \3", " ".join(text.split()))
    return f"{type(error).__name__}: {text}"[:500]


__all__ = ["Document", "Server", "database_of", "error_text"]
