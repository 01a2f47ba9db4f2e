"""What a plan says of partitions, types, triggers and functions that are missing or in the way."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.contract.test_foresight import foresee, hazards
from tests.servers import fresh_postgres

SETUP = """
CREATE SCHEMA s;
CREATE TABLE part (k int, v int) PARTITION BY RANGE (k); CREATE TABLE rest PARTITION OF part DEFAULT;
INSERT INTO part VALUES (5, 5), (NULL, 1);
CREATE TABLE listed (k text, v int) PARTITION BY LIST (k);
CREATE TABLE listed_a PARTITION OF listed FOR VALUES IN ('a');
CREATE TABLE hashed (k int) PARTITION BY HASH (k);
CREATE TABLE outside (k int, v int); INSERT INTO outside VALUES (500, 1);
CREATE TABLE inside (k int, v int); INSERT INTO inside VALUES (150, 1);
CREATE TABLE nulls (k int, v int); INSERT INTO nulls VALUES (NULL, 1);
CREATE TABLE texts (k text, v int); INSERT INTO texts VALUES ('b', 1), ('c', 2);
CREATE TABLE other (k int, w int);
CREATE TABLE pair (a int, b date)
  PARTITION BY RANGE (a, b); CREATE TABLE pair_d PARTITION OF pair DEFAULT;
INSERT INTO pair VALUES (1, '2024-05-05');
CREATE TABLE pairs (a int, b date); INSERT INTO pairs VALUES (1, '2024-05-05'), (2, '2024-01-01');
CREATE TABLE computed (k int, v int)
  PARTITION BY RANGE ((k + 1)); CREATE TABLE computed_d PARTITION OF computed DEFAULT;
INSERT INTO computed VALUES (5, 5);
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE felt (m mood); CREATE TYPE unused AS ENUM ('a');
CREATE TYPE duo AS (a int, b text); CREATE DOMAIN dom AS int; CREATE TYPE s.mood2 AS ENUM ('x');
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION g(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION g(a text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION used() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE uses (a int DEFAULT used());
CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION s.only_here() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE t (a int); CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE INDEX t_a ON t (a); CREATE INDEX t_b ON t ((a + 1)); CREATE VIEW v AS SELECT a FROM t; CREATE POLICY po ON t;
CREATE SEQUENCE sq; CREATE EXTENSION IF NOT EXISTS plpgsql;
ANALYZE;
"""
STEPS = """
ALTER TABLE part ATTACH PARTITION outside FOR VALUES FROM (100) TO (200)
ALTER TABLE part ATTACH PARTITION inside FOR VALUES FROM (100) TO (200)
ALTER TABLE part ATTACH PARTITION inside FOR VALUES FROM (0) TO (200)
ALTER TABLE part ATTACH PARTITION inside FOR VALUES FROM (MINVALUE) TO (200)
ALTER TABLE part ATTACH PARTITION nulls FOR VALUES FROM (100) TO (200)
ALTER TABLE part ATTACH PARTITION other FOR VALUES FROM (100) TO (200)
ALTER TABLE part ATTACH PARTITION inside DEFAULT
ALTER TABLE listed ATTACH PARTITION texts FOR VALUES IN ('b')
ALTER TABLE listed ATTACH PARTITION texts FOR VALUES IN ('b', 'c')
ALTER TABLE listed ATTACH PARTITION texts FOR VALUES IN ('b', 'c', NULL)
ALTER TABLE listed ATTACH PARTITION texts DEFAULT
ALTER TABLE listed ATTACH PARTITION texts FOR VALUES IN ('a', 'b', 'c')
ALTER TABLE pair ATTACH PARTITION pairs FOR VALUES FROM (1, '2024-06-01') TO (5, '2024-01-01')
ALTER TABLE pair ATTACH PARTITION pairs FOR VALUES FROM (1, '2024-05-01') TO (5, '2024-01-01')
DROP TABLE pair_d ;; ALTER TABLE pair ATTACH PARTITION pairs FOR VALUES FROM (1, '2020-1-1') TO (5, '2024-1-1')
ALTER TABLE part DETACH PARTITION rest ;; CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10)
DELETE FROM rest ;; CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10)
UPDATE part SET v = 2; UPDATE rest SET v = 3; ALTER TABLE part ALTER v SET NOT NULL
DELETE FROM rest ;; ALTER TABLE part ALTER k SET NOT NULL
ALTER TYPE mood ADD VALUE 'ugly' ;; ALTER TABLE felt ADD x mood DEFAULT NULL
ALTER TYPE mood RENAME VALUE 'bad' TO 'ugly' ;; INSERT INTO felt VALUES ('ugly')
ALTER TYPE mood RENAME VALUE 'bad' TO 'ugly' ;; ALTER TABLE felt ADD x mood DEFAULT 'ugly'
CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10)
CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (10) TO (20)
CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (6) TO (MAXVALUE)
CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (5) TO (MAXVALUE)
CREATE TABLE p1 PARTITION OF part DEFAULT
CREATE TABLE p1 PARTITION OF listed FOR VALUES IN ('a')
CREATE TABLE p1 PARTITION OF listed FOR VALUES IN ('x')
CREATE TABLE p1 PARTITION OF listed DEFAULT
CREATE TABLE p1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0)
CREATE TABLE p1 PARTITION OF computed FOR VALUES FROM (6) TO (7)
CREATE TABLE p1 PARTITION OF computed FOR VALUES FROM (5) TO (6)
DELETE FROM part ;; CREATE TABLE p1 PARTITION OF part FOR VALUES FROM (0) TO (10)
CREATE TABLE p1 PARTITION OF t FOR VALUES FROM (0) TO (10)
INSERT INTO listed VALUES ('a', 1)
INSERT INTO listed VALUES ('zzz', 1)
CREATE TABLE p1 PARTITION OF listed FOR VALUES IN ('zzz') ;; INSERT INTO listed VALUES ('zzz', 1)
INSERT INTO part VALUES (77, 1)
ALTER TYPE mood ADD VALUE 'good'
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'good'
ALTER TYPE mood ADD VALUE 'new' AFTER 'none'
ALTER TYPE mood ADD VALUE 'new' BEFORE 'bad'
ALTER TYPE mood ADD VALUE 'new' ;; ALTER TYPE mood ADD VALUE 'new'
ALTER TYPE mood RENAME VALUE 'none' TO 'x'
ALTER TYPE mood RENAME VALUE 'bad' TO 'good'
ALTER TYPE mood RENAME VALUE 'bad' TO 'x'
ALTER TYPE mood RENAME VALUE 'bad' TO 'x' ;; ALTER TYPE mood ADD VALUE 'bad'
ALTER TYPE nothing ADD VALUE 'x'
ALTER TYPE duo ADD VALUE 'x'
ALTER TYPE s.mood2 ADD VALUE 'x'
ALTER TYPE mood2 ADD VALUE 'y'
ALTER TABLE felt ADD x mood DEFAULT 'ugly'
ALTER TABLE felt ADD x mood DEFAULT 'good'
ALTER TABLE felt ALTER m SET DEFAULT 'ugly'
ALTER TABLE felt ADD x nothing
ALTER TABLE felt ADD x nothing[]
ALTER TABLE felt ADD x s.mood2
CREATE TYPE fresh AS ENUM ('a') ;; ALTER TABLE felt ADD x fresh
CREATE TABLE n (a nothing)
CREATE TABLE n (a serial, b varchar(5), c numeric(3, 1)[], d mood, e timestamp with time zone, f "char", g t)
DROP TYPE mood
DROP TYPE mood CASCADE
DROP TYPE unused
DROP TYPE nothing
DROP TYPE IF EXISTS nothing
DROP TYPE unused, unused
DROP TABLE felt ;; DROP TYPE mood
ALTER TABLE felt DROP COLUMN m ;; DROP TYPE mood
ALTER TABLE felt ALTER m TYPE text ;; DROP TYPE mood
DROP DOMAIN dom
DROP DOMAIN mood
DROP TYPE dom
CREATE TYPE mood AS ENUM ('x')
CREATE TYPE fresh AS ENUM ('x')
CREATE TYPE fresh AS ENUM ('x') ;; CREATE TYPE fresh AS ENUM ('x')
CREATE TYPE t AS (a int)
CREATE DOMAIN mood AS int
CREATE DOMAIN fresh AS int
DROP TYPE unused ;; CREATE TYPE unused AS ENUM ('x')
ALTER TYPE mood RENAME TO mood9
ALTER TYPE mood RENAME TO mood9 ;; CREATE TYPE mood AS ENUM ('x')
ALTER TYPE mood RENAME TO dom
CREATE TABLE mood (a int)
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing()
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION only_here()
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION s.only_here()
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()
CREATE OR REPLACE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()
DROP TRIGGER nothing ON t
DROP TRIGGER IF EXISTS nothing ON t
DROP TRIGGER tr ON t
DROP TRIGGER tr ON t ;; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()
DROP TRIGGER tr ON t ;; DROP TRIGGER tr ON t
CREATE TRIGGER y BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f() ;; DROP TRIGGER y ON t
ALTER TABLE t DISABLE TRIGGER nothing
ALTER TABLE t DISABLE TRIGGER tr
ALTER TABLE t ENABLE TRIGGER ALL
ALTER TRIGGER nothing ON t RENAME TO x
ALTER TRIGGER tr ON t RENAME TO x ;; DROP TRIGGER x ON t
DROP FUNCTION nothing()
DROP FUNCTION nothing
DROP FUNCTION IF EXISTS nothing()
DROP FUNCTION f()
DROP FUNCTION f() CASCADE
DROP FUNCTION f
DROP FUNCTION g
DROP FUNCTION g(int)
DROP FUNCTION g(bigint)
DROP FUNCTION used()
DROP FUNCTION used() CASCADE
ALTER TABLE uses ALTER a DROP DEFAULT ;; DROP FUNCTION used()
DROP TABLE uses ;; DROP FUNCTION used()
DROP TRIGGER tr ON t ;; DROP FUNCTION f()
DROP PROCEDURE p
DROP PROCEDURE nothing()
DROP FUNCTION p
CREATE FUNCTION g(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE FUNCTION g(b bigint) RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE OR REPLACE FUNCTION g(a int) RETURNS int LANGUAGE sql AS 'SELECT 2'
CREATE OR REPLACE FUNCTION g(a int) RETURNS text LANGUAGE sql AS 'SELECT 2'
CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 2' ;; DROP FUNCTION fresh()
ALTER TABLE t ADD x int DEFAULT nothing()
ALTER TABLE t ADD x int DEFAULT used()
ALTER TABLE t ALTER a SET DEFAULT nothing()
CREATE INDEX ON t (nothing(a))
CREATE INDEX ON t (abs(a))
UPDATE t SET a = nothing(a)
SELECT nothing(1)
CREATE VIEW v2 AS SELECT nothing(a) AS x FROM t
DROP INDEX t_a, t_a
DROP INDEX t_a, t_b
DROP INDEX t_a, t_b, t_a
DROP INDEX IF EXISTS t_a, t_a
DROP TABLE felt, felt
DROP VIEW v, v
DROP SEQUENCE sq, sq
DROP SEQUENCE nothing
DROP INDEX t_a ;; DROP INDEX t_a
TRUNCATE t, t
DROP POLICY nothing ON t
DROP POLICY po ON t
CREATE POLICY po ON t
ALTER POLICY nothing ON t USING (true)
CREATE EXTENSION plpgsql
CREATE EXTENSION IF NOT EXISTS plpgsql
CREATE EXTENSION no_such_extension
CREATE EXTENSION IF NOT EXISTS no_such_extension
DROP EXTENSION no_such_extension
DROP EXTENSION IF EXISTS no_such_extension
ALTER TABLE part ADD UNIQUE (v)
ALTER TABLE part ADD UNIQUE (v, k)
ALTER TABLE part ADD PRIMARY KEY (v)
CREATE UNIQUE INDEX ON part (v)
CREATE INDEX CONCURRENTLY ON part (v)
ALTER TABLE outside ADD FOREIGN KEY (k) REFERENCES inside (k)
ALTER TABLE outside ADD FOREIGN KEY (k) REFERENCES inside
ALTER TABLE outside ADD FOREIGN KEY (k, v) REFERENCES inside (k)
ALTER TABLE inside ADD UNIQUE (k) ;; ALTER TABLE outside ADD FOREIGN KEY (k) REFERENCES inside (k) NOT VALID
""".strip().splitlines()
STEPS.append(
    "CREATE FUNCTION nu() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"
    " ;; CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION nu()"
)


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with fresh_postgres(postgres) as made:
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute(SETUP.encode())
        yield made


@pytest.mark.parametrize("case", STEPS)
def test_what_is_in_the_way_or_missing_is_foretold_and_nothing_else(url: str, case: str) -> None:
    steps = case.split(" ;; ")
    said = hazards(*foresee(url, *([step] for step in steps))).get("will-fail", "")
    failed = ""
    with psycopg.connect(url) as connection:
        try:
            for step in steps:
                connection.execute(f"SET LOCAL search_path = public; {step}".encode())
        except psycopg.Error as error:
            failed = str(error).partition("\n")[0]
        connection.rollback()
    assert bool(said) == bool(failed), (said, failed)


HARM = {
    "REVOKE SELECT ON t FROM PUBLIC": ("breaks-application", "PUBLIC may do less with public.t then"),
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY": (
        "breaks-application",
        "who sees which rows of public.t is decided anew",
    ),
    "ALTER TABLE part DETACH PARTITION rest": (
        "breaks-application",
        "code that reads public.part finds no rows of public.rest any more",
    ),
    "UPDATE outside SET v = NULL": ("destroys-data", "v of about 1 rows of public.outside, which nothing keeps"),
    "MERGE INTO outside USING inside ON true WHEN MATCHED THEN DELETE": (
        "destroys-data",
        "rows of public.outside, which nothing keeps",
    ),
    "DROP SEQUENCE sq CASCADE": ("breaks-application", "columns whose default is public.sq have none then"),
    "DROP TYPE mood CASCADE": ("destroys-data", "public.felt.m, which CASCADE drops and nothing keeps"),
    "CLUSTER": ("unknown", "CLUSTER OF ALL TABLES: what that does is only known when it runs"),
}


@pytest.mark.parametrize("statement", HARM)
def test_harm_that_is_easily_overlooked_is_told(url: str, statement: str) -> None:
    hazard, text = HARM[statement]
    assert hazards(*foresee(url, [statement]))[hazard] == text
