"""What a plan says of names that earlier statements of it give, take and free, held against what PostgreSQL does."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.contract.test_foresight import foresee, hazards
from tests.servers import fresh_postgres

SETUP = """
CREATE TABLE org (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE person (id serial PRIMARY KEY, org bigint REFERENCES org, mail text, number int);
INSERT INTO org (name) VALUES ('a'); INSERT INTO person (org, mail) VALUES (1, 'a@x');
CREATE INDEX by_number ON person (abs(number));
CREATE VIEW seen AS SELECT id, mail FROM person; CREATE VIEW seen_too AS SELECT id FROM seen;
CREATE MATERIALIZED VIEW counted AS SELECT org, count(*) AS n FROM person GROUP BY org;
CREATE TABLE ev (id bigint, at date NOT NULL, k int) PARTITION BY RANGE (at);
CREATE TABLE ev20 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO ev VALUES (1, '2020-05-05');
CREATE TABLE above (x int, y int); CREATE TABLE below (z int) INHERITS (above);
CREATE TABLE gen (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c int); CREATE SEQUENCE numbers;
CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN mail AS text;
CREATE TABLE typed (i int, d date, l text[], j jsonb, m mood, dm mail, n varchar(9), r int4range, p point);
CREATE TABLE numbered (id int DEFAULT nextval('numbers')); CREATE SCHEMA other;
"""
STEPS = """
CREATE TABLE person2 (id int); DROP TABLE person CASCADE; ALTER TABLE person2 RENAME TO person; INSERT INTO person (id) VALUES (1)
CREATE TABLE t (id int); ALTER TABLE t RENAME TO t2; CREATE TABLE t (x int); INSERT INTO t (x) VALUES (1); INSERT INTO t2 (id) VALUES (1)
CREATE TABLE t (id int); DROP TABLE t; CREATE TABLE t (x int); INSERT INTO t (x) VALUES (1)
CREATE TABLE t (id int); DROP TABLE t; DROP TABLE t
CREATE TABLE t (id int); CREATE INDEX i ON t (id); CREATE INDEX i ON t (id)
CREATE TABLE t (id int); CREATE INDEX by_number ON t (id)
CREATE TABLE t (id int); CREATE INDEX i ON t (id); DROP TABLE t; CREATE TABLE t (id int); CREATE INDEX i ON t (id)
CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER TABLE t RENAME TO t2; DROP TABLE t2; CREATE INDEX i ON person (id)
CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER INDEX i RENAME TO j; CREATE INDEX i ON t (id)
CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER TABLE t SET SCHEMA other; CREATE INDEX i ON person (id)
CREATE TABLE t (id int); ALTER TABLE t ADD COLUMN id int
CREATE TABLE t (id int); ALTER TABLE t DROP COLUMN nope
CREATE TABLE t (id int); ALTER TABLE t RENAME COLUMN nope TO x
CREATE TABLE t (id int); INSERT INTO t (nope) VALUES (1)
CREATE TABLE t (id int); UPDATE t SET nope = 1
CREATE TABLE t (id int); CREATE INDEX ON t (nope)
CREATE TABLE t (id int); COMMENT ON COLUMN t.nope IS 'x'
CREATE TABLE t (id int); ALTER TABLE t ADD x int; CREATE INDEX ON t (x); ALTER TABLE t RENAME x TO y; UPDATE t SET y = 1; ALTER TABLE t DROP y
CREATE TABLE t AS SELECT 1 AS id; INSERT INTO t (id) VALUES (1)
CREATE TABLE t (LIKE person); INSERT INTO t (id) VALUES (1)
CREATE TABLE t (id int, id text)
CREATE TABLE t (id int PRIMARY KEY, x int PRIMARY KEY)
CREATE TABLE t (id int, PRIMARY KEY (nope))
CREATE TABLE t (id int CHECK (nope > 1))
CREATE TABLE t (id int, CHECK (t.id > 1), CHECK ((t).id > 1), CHECK (t IS NOT NULL))
CREATE TABLE t (id int, CONSTRAINT c CHECK (id > 1), CONSTRAINT c CHECK (id > 2))
CREATE TABLE t (LIKE person, PRIMARY KEY (id))
CREATE TABLE t (PRIMARY KEY (x)) INHERITS (above)
CREATE TABLE t (id int) PARTITION BY RANGE (nope)
CREATE TABLE t (id int, x int REFERENCES org (nope))
CREATE TABLE t (id int, x text REFERENCES person (mail))
CREATE TABLE IF NOT EXISTS person (a int, a int)
DROP TABLE person CASCADE; CREATE TABLE person (id int); CREATE INDEX by_number ON person (id)
DROP TABLE person CASCADE; CREATE SEQUENCE person_id_seq
DROP TABLE person CASCADE; CREATE VIEW seen AS SELECT 1 AS a; CREATE VIEW seen_too AS SELECT 1 AS a; CREATE TABLE counted (id int)
ALTER TABLE person DROP COLUMN number; CREATE INDEX by_number ON person (id)
ALTER TABLE person RENAME COLUMN number TO n; CREATE INDEX by_number ON person (id)
ALTER TABLE person DROP COLUMN mail CASCADE; CREATE VIEW seen AS SELECT id FROM person
ALTER TABLE person RENAME TO p2; CREATE TABLE person (id int); CREATE INDEX by_number ON person (id)
ALTER TABLE person SET SCHEMA other; CREATE INDEX by_number ON org (id)
ALTER TABLE person DROP CONSTRAINT person_pkey; ALTER TABLE person ADD CONSTRAINT person_pkey PRIMARY KEY (id)
ALTER TABLE person ADD n int; UPDATE person SET n = id; ALTER TABLE person DROP id CASCADE; ALTER TABLE person RENAME n TO id; ALTER TABLE person ADD PRIMARY KEY (id)
ALTER TABLE person ADD PRIMARY KEY (number)
ALTER TABLE org DROP CONSTRAINT org_name_key; CREATE UNIQUE INDEX org_name_key ON org (name)
CREATE VIEW w AS SELECT 1 AS a; ALTER VIEW w RENAME TO w2; CREATE VIEW w AS SELECT 1 AS b
ALTER VIEW seen RENAME TO w; CREATE VIEW seen AS SELECT 1 AS x
ALTER VIEW seen RENAME TO org
ALTER VIEW seen RENAME COLUMN mail TO m; CREATE VIEW m AS SELECT 1 AS a
ALTER SEQUENCE numbers RENAME TO n2; CREATE SEQUENCE numbers
CREATE OR REPLACE VIEW seen AS SELECT id, mail, org FROM person
CREATE OR REPLACE VIEW seen AS SELECT id FROM person
CREATE OR REPLACE VIEW seen AS SELECT mail, id FROM person
CREATE OR REPLACE VIEW seen AS SELECT id::bigint AS id, mail FROM person
DROP VIEW seen_too; DROP VIEW seen; CREATE OR REPLACE VIEW seen AS SELECT id FROM person
GRANT SELECT ON nope TO CURRENT_USER
CREATE TABLE t (id int); GRANT SELECT ON t, person TO CURRENT_USER
CREATE INDEX ON typed (i, d, l, j, m, dm, n, r)
CREATE INDEX ON typed (p)
CREATE INDEX ON typed USING gin (d)
CREATE INDEX ON typed USING gin (l, j)
CREATE INDEX ON typed USING gin (j jsonb_path_ops)
CREATE INDEX ON typed USING gist (d)
CREATE INDEX ON typed USING gist (r, p)
CREATE INDEX ON typed USING hash (m)
CREATE INDEX ON typed USING hash (i, d)
CREATE INDEX ON typed USING spgist (dm)
CREATE INDEX ON typed USING brin (n, i)
CREATE INDEX ON typed USING brin (j)
CREATE INDEX ON typed USING nothing (i)
CREATE UNIQUE INDEX ON typed USING gin (l)
CREATE UNIQUE INDEX ON typed USING hash (i)
ALTER TABLE typed ALTER d TYPE text; CREATE INDEX ON typed USING spgist (d)
CREATE EXTENSION btree_gist; CREATE INDEX ON typed USING gist (d)
CREATE INDEX ON seen (id)
ALTER TABLE ev20 ADD COLUMN q int
ALTER TABLE ev DETACH PARTITION ev20; ALTER TABLE ev20 ADD COLUMN q int
ALTER TABLE ev DETACH PARTITION org
ALTER TABLE ev DROP COLUMN at
ALTER TABLE ev ALTER at TYPE timestamp
ALTER TABLE ev20 DROP COLUMN k
ALTER TABLE ev DROP COLUMN k
ALTER TABLE below DROP COLUMN x
ALTER TABLE below NO INHERIT above; ALTER TABLE below DROP COLUMN x
ALTER TABLE seen ADD COLUMN q int
ALTER TABLE gen ALTER b SET DEFAULT 3
ALTER TABLE gen ALTER b DROP EXPRESSION; ALTER TABLE gen ALTER b SET DEFAULT 3
ALTER TABLE gen ALTER a DROP EXPRESSION
ALTER TABLE org ALTER id DROP NOT NULL
ALTER TABLE org ALTER name DROP IDENTITY
ALTER TABLE org ALTER name DROP IDENTITY IF EXISTS
ALTER TABLE org ALTER name ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE org ALTER id ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE org ALTER id DROP IDENTITY; ALTER TABLE org ALTER id SET DEFAULT 5
ALTER TABLE numbered ALTER id ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE gen ALTER c ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE numbered ALTER id DROP DEFAULT; ALTER TABLE numbered ALTER id SET NOT NULL; ALTER TABLE numbered ALTER id ADD GENERATED ALWAYS AS IDENTITY
""".strip().splitlines()  # noqa: E501


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with fresh_postgres(postgres) as made:
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute(SETUP.encode())
        yield made


@pytest.mark.parametrize("case", STEPS)
def test_names_that_are_taken_missing_or_freed_are_known(url: str, case: str) -> None:
    said = hazards(*foresee(url, [case])).get("will-fail", "")
    failed = ""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(case.encode())
        except psycopg.Error as error:
            failed = str(error).partition("\n")[0]
        connection.rollback()
    assert bool(said) == bool(failed), (said, failed)
