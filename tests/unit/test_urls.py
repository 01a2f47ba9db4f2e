"""A URL as text: checked, completed, and led to another database."""

from __future__ import annotations

import pytest

from dataops import urls
from dataops.errors import ConfigError
from dataops.kinds import MONGODB, POSTGRESQL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mongodb://db", "mongodb://db/shop"),
        ("mongodb://db/", "mongodb://db/shop"),
        ("mongodb://u:p@a:1,b:2?tls=true", "mongodb://u:p@a:1,b:2/shop?tls=true&authSource=admin"),
        ("mongodb://u:p@db?authSource=x", "mongodb://u:p@db/shop?authSource=x"),
        ("mongodb://u@db?authMechanism=MONGODB-X509", "mongodb://u@db/shop?authMechanism=MONGODB-X509"),
        ("mongodb://u:p%40@db/other", "mongodb://u:p%40@db/other"),
    ],
)
def test_a_database_is_put_into_a_url_that_names_none(url: str, expected: str) -> None:
    assert urls.with_database(url, "shop") == expected
    assert urls.names_database(expected)
    assert urls.names_database(url) is (url == expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p@a:1,b:2/shop?sslmode=require", "postgres://u:p@a:1,b:2/trial?sslmode=require"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///trial?host=/run/postgresql"),
        ("mongodb://db", "mongodb://db/trial"),
        ("mongodb://u:p@db/shop", "mongodb://u:p@db/trial?authSource=shop"),
        ("mongodb://u:p@db/?tls=true", "mongodb://u:p@db/trial?tls=true&authSource=admin"),
        ("mongodb://u:p@db/shop?AUTHSOURCE=x", "mongodb://u:p@db/trial?AUTHSOURCE=x"),
    ],
)
def test_another_database_beside_it_is_for_the_same_user(url: str, expected: str) -> None:
    """MongoDB looks for the user in the database of the URL, unless authSource names another one."""
    assert urls.beside(url, "trial") == expected


def test_a_user_and_a_password_are_put_into_an_address_that_has_none() -> None:
    assert urls.from_parts("mongodb", "a,b:2", "", "", "shop") == "mongodb://a,b:2"
    assert urls.from_parts("mongodb", "a,b:2", "me", "p@ss", "shop") == "mongodb://me:p%40ss@a,b:2/shop"
    assert (
        urls.from_parts("mongodb", "mongodb://db/shop?tls=true", "me", "x", "other")
        == "mongodb://me:x@db/shop?tls=true"
    )
    assert urls.from_parts("mongodb", "mongodb://you:y@db/shop", "me", "x", "other") == "mongodb://you:y@db/shop"


def test_a_url_of_another_kind_of_database_is_refused_and_not_shown() -> None:
    urls.check(POSTGRESQL, "postgres://u:p@db/shop", "SHOP_PG_CON")
    for url in ("mongodb://u:s3cret@db/shop", "s3cret"):
        with pytest.raises(ConfigError, match="SHOP_PG_CON is not a postgresql URL") as caught:
            urls.check(POSTGRESQL, url, "SHOP_PG_CON")
        assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(ConfigError, match="characters that have to be escaped"):
        urls.check(MONGODB, "mongodb://u:p@ss@db/shop", "DOCS_CON")
