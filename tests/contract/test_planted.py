"""Differences planted one at a time: each that changes behaviour is told, and none that does not.

The tables have the change, and what is told of it: `kind name`, `~kind name` where it is told and refuses nothing, and
"" where nothing is told. In PostgreSQL, each change is rolled back; in MongoDB, the collection is dropped.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dataops.backends import connect
from dataops.backends.postgres import catalogue
from dataops.catalogue import Catalogue, Difference, compare
from dataops.dev import PostgresServer
from dataops.dev.programs import find_postgres
from dataops.kinds import MONGODB, POSTGRESQL
from dataops.model import Service
from tests.servers import fresh_postgres

Mongo = Database[dict[str, Any]]

SHOP = """
CREATE EXTENSION pg_trgm;
CREATE SCHEMA app;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.kind AS ENUM ('a', 'b');
CREATE DOMAIN cents AS bigint DEFAULT 0 CHECK (VALUE >= 0);
CREATE DOMAIN app.code AS varchar(8) CONSTRAINT short CHECK (length(VALUE) > 2) NOT NULL;
CREATE TYPE pair AS (one int, two text);
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION german (provider = libc, locale = 'C');
CREATE COLLATION plain (provider = libc, locale = 'C');
CREATE SEQUENCE loose START 5;
CREATE TABLE users (
    id bigserial PRIMARY KEY,
    place int GENERATED ALWAYS AS IDENTITY,
    small smallserial,
    name varchar(40) NOT NULL,
    mood mood DEFAULT 'ok',
    kind app.kind,
    balance cents NOT NULL,
    twice numeric(10, 2) GENERATED ALWAYS AS (balance * 2) STORED,
    tag text COLLATE "C",
    state varchar(10) DEFAULT 'new',
    parent bigint REFERENCES users DEFERRABLE,
    during int4range,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_name UNIQUE (name),
    CONSTRAINT users_state CHECK (state IN ('new', 'old', 'gone')),
    CONSTRAINT users_balance CHECK (balance < 1000),
    CONSTRAINT users_at CHECK (at > '2020-01-01 00:00:00+00'),
    CONSTRAINT users_during EXCLUDE USING gist (during WITH &&)
);
CREATE TABLE app.orders (
    id int PRIMARY KEY,
    user_id bigint CONSTRAINT orders_user REFERENCES users ON DELETE CASCADE,
    kind app.kind NOT NULL DEFAULT 'a',
    body jsonb,
    words tsvector,
    note text DEFAULT 'a b'
);
CREATE INDEX users_lower ON users (lower(name), at DESC) INCLUDE (mood) WHERE tag IS NOT NULL;
CREATE INDEX users_words ON users USING gin (name gin_trgm_ops);
CREATE INDEX users_tag ON users (tag COLLATE "POSIX" text_pattern_ops);
CREATE UNIQUE INDEX users_once ON users (tag, state);
CREATE INDEX orders_body ON app.orders USING gin (body);
CREATE INDEX "at USING 100%" ON users (at);
CREATE FUNCTION atomic() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 'a  b'; END;
CREATE STATISTICS users_stat (dependencies) ON mood, tag FROM users;
CREATE TABLE logs (at date NOT NULL, line text, n int DEFAULT 1) PARTITION BY RANGE (at);
CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
CREATE INDEX logs_at ON logs (at);
CREATE TABLE base (a int);
CREATE TABLE child (b int) INHERITS (base);
CREATE UNLOGGED TABLE cache (key text PRIMARY KEY);
CREATE VIEW named AS SELECT id, name FROM users WHERE tag = 'a';
CREATE VIEW guarded WITH (security_barrier) AS SELECT id, tag FROM users WHERE tag > 'a' WITH CHECK OPTION;
CREATE VIEW joined AS SELECT u.id, o.body FROM users u JOIN app.orders o ON o.user_id = u.id;
CREATE VIEW deep AS SELECT name FROM users
    WHERE EXISTS (SELECT 1 FROM app.orders WHERE orders.user_id = users.id) ORDER BY name;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, mood FROM users GROUP BY mood;
CREATE UNIQUE INDEX totals_mood ON totals (mood);
CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION many() RETURNS SETOF int LANGUAGE sql STABLE ROWS 10 AS 'SELECT 1';
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- now
    new.at = now();
    RETURN new;
END $$;
CREATE FUNCTION logged() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM app.orders';
CREATE FUNCTION grow(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE FUNCTION shrink(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE FUNCTION done(bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE AGGREGATE total(int) (SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl,
    MSFUNC = grow, MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done);
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE TRIGGER logs_touch BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE RULE no_delete AS ON DELETE TO app.orders DO INSTEAD NOTHING;
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.orders FOR SELECT USING (id > 0);
CREATE POLICY write ON app.orders FOR INSERT WITH CHECK (id > 10);
CREATE TEXT SEARCH DICTIONARY stop (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION words (COPY = english);
CREATE FUNCTION same(pair, pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).one = ($2).one';
CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = same, COMMUTATOR = ===);
CREATE FUNCTION paired(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ($1, NULL)::pair';
CREATE CAST (int AS pair) WITH FUNCTION paired(int) AS ASSIGNMENT;
CREATE PUBLICATION news FOR TABLE users, app.orders;
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE POLICY', 'DROP POLICY') EXECUTE FUNCTION logged();
CREATE FOREIGN DATA WRAPPER nothing;
CREATE FUNCTION handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE other HANDLER handler;
CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler;
CREATE MATERIALIZED VIEW later AS SELECT 1 AS one WITH NO DATA;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing OPTIONS (host 'here');
CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere;
CREATE FOREIGN TABLE far (id int OPTIONS (name 'x')) SERVER elsewhere OPTIONS (place 'y');
COMMENT ON COLUMN users.mood IS 'how they feel';
COMMENT ON FUNCTION plus IS 'adds';
"""

TOUCH = "CREATE OR REPLACE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS "
USERS, ORDERS = "ALTER TABLE users ", "ALTER TABLE app.orders "
IN_DATABASE = "SELECT pg_temp.run($$ALTER DATABASE %I "
FOR_ROLE = "CREATE ROLE planted; SELECT pg_temp.run($$ALTER ROLE planted IN DATABASE %I "
RUN = """
CREATE FUNCTION pg_temp.run(text) RETURNS void LANGUAGE plpgsql AS
    'BEGIN EXECUTE format($1, current_database()); END'
"""
ICU = "UPDATE pg_collation SET {} WHERE collname = 'german'"
"""Some servers that we test on are built without ICU; what they say of such a collation is the same."""

POSTGRES: list[tuple[str, ...]] = [
    # tables
    ("CREATE TABLE note (id serial PRIMARY KEY)", "table note"),
    ("CREATE TABLE app.note (id int)", "table app.note"),
    ("DROP TABLE cache", "table cache"),
    ("ALTER TABLE cache SET LOGGED", "table cache"),
    ("ALTER TABLE base SET UNLOGGED", "table base"),
    ("ALTER TABLE cache RENAME TO store", "table cache", "table store"),
    ("ALTER TABLE cache SET SCHEMA app", "table app.cache", "table cache"),
    (ORDERS + "DISABLE ROW LEVEL SECURITY", "table app.orders"),
    (ORDERS + "FORCE ROW LEVEL SECURITY", "table app.orders"),
    (USERS + "ENABLE ROW LEVEL SECURITY", "table users"),
    ("ALTER TABLE child NO INHERIT base", "table child"),
    ("CREATE TABLE typed OF pair", "table typed"),
    ("CREATE TABLE grandchild () INHERITS (child)", "table grandchild"),
    ("CREATE TABLE logs_2028 PARTITION OF logs FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')", "table logs_2028"),
    ("ALTER TABLE logs DETACH PARTITION logs_rest", "table logs_rest", "index logs_rest.logs_rest_at_idx"),
    ("ALTER TABLE logs DETACH PARTITION logs_2026; ALTER TABLE logs ATTACH PARTITION logs_2026 "
     "FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')", "table logs_2026"),
    ("DROP TABLE logs_rest", "table logs_rest"),
    ("UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'logs_2026'::regclass", "table logs_2026"),
    ("DROP TABLE base CASCADE; CREATE TABLE base (a int) USING pile; CREATE TABLE child (b int) INHERITS (base)",
     "table base"),
    ("CREATE SCHEMA other", "schema other"),
    ("ALTER FOREIGN TABLE far OPTIONS (SET place 'z')", "table far"),
    ("ALTER FOREIGN TABLE far ALTER id OPTIONS (SET name 'z')", "column far.id"),
    ("DROP FOREIGN TABLE far", "table far"),
    # columns
    (USERS + "ADD note text", "column users.note"),
    (USERS + "DROP during", "column users.during", "constraint users.users_during"),
    (USERS + "RENAME state TO condition", "column users.condition", "column users.state",
     "constraint users.users_state", "index users.users_once"),
    (USERS + "ALTER small TYPE int", "column users.small"),
    (ORDERS + "ALTER note TYPE varchar(50)", "column app.orders.note"),
    (USERS + "ALTER name DROP NOT NULL", "column users.name"),
    (USERS + "ALTER kind SET NOT NULL", "column users.kind"),
    (USERS + "ALTER at SET DEFAULT clock_timestamp()", "column users.at"),
    (USERS + "ALTER at DROP DEFAULT", "column users.at"),
    (USERS + "ALTER mood SET DEFAULT 'sad'", "column users.mood"),
    (USERS + "ALTER state SET DEFAULT 'old'", "column users.state"),
    (ORDERS + "ALTER note TYPE text COLLATE \"POSIX\"", "column app.orders.note"),
    (USERS + "ALTER place SET GENERATED BY DEFAULT", "column users.place"),
    (USERS + "ALTER place DROP IDENTITY", "column users.place", "sequence of column users.place"),
    (USERS + "ALTER twice DROP EXPRESSION", "column users.twice"),
    (USERS + "DROP twice; ALTER TABLE users ADD twice numeric(10, 2) GENERATED ALWAYS AS (balance * 3) STORED",
     "column users.twice"),
    (USERS + "ALTER id DROP DEFAULT", "column users.id"),
    (ORDERS + "ALTER kind DROP DEFAULT", "column app.orders.kind"),
    (ORDERS + "ADD total numeric NOT NULL DEFAULT 0", "column app.orders.total"),
    ("ALTER TABLE logs_2026 ALTER n SET DEFAULT 2", "column logs_2026.n"),
    ("ALTER TABLE logs_2026 ALTER line SET NOT NULL", "column logs_2026.line"),
    (USERS + "DROP twice; ALTER TABLE users ADD twice numeric(10, 2) GENERATED ALWAYS AS (place * 2) VIRTUAL",
     "column users.twice", "18"),
    # sequences
    ("ALTER SEQUENCE users_id_seq AS integer", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq MAXVALUE 100", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq INCREMENT 2", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq CYCLE", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq CACHE 20", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq START 1000", "sequence of column users.id"),
    ("ALTER SEQUENCE users_id_seq MINVALUE -5", "sequence of column users.id"),
    ("ALTER SEQUENCE users_small_seq MAXVALUE 9", "sequence of column users.small"),
    ("ALTER SEQUENCE users_small_seq AS bigint", "sequence of column users.small"),
    (USERS + "ALTER place SET INCREMENT 3", "sequence of column users.place"),
    (USERS + "ALTER place SET CYCLE", "sequence of column users.place"),
    (USERS + "ALTER place SET MAXVALUE 77", "sequence of column users.place"),
    (USERS + "ALTER place SET CACHE 5", "sequence of column users.place"),
    (USERS + "ALTER place SET START 7", "sequence of column users.place"),
    ("ALTER SEQUENCE users_id_seq OWNED BY NONE", "sequence of column users.id", "sequence users_id_seq"),
    ("ALTER SEQUENCE loose INCREMENT 2", "sequence loose"),
    ("ALTER SEQUENCE loose START 6", "sequence loose"),
    ("ALTER SEQUENCE loose CACHE 2", "sequence loose"),
    ("ALTER SEQUENCE loose CYCLE", "sequence loose"),
    ("ALTER SEQUENCE loose AS int", "sequence loose"),
    ("ALTER SEQUENCE loose SET UNLOGGED", "sequence loose", "15"),
    ("CREATE SEQUENCE another", "sequence another"),
    ("DROP SEQUENCE loose", "sequence loose"),
    ("ALTER SEQUENCE loose OWNED BY users.id", "sequence loose", "sequence of column users.id"),
    # constraints
    (USERS + "DROP CONSTRAINT users_name", "constraint users.users_name"),
    (USERS + "DROP CONSTRAINT users_state", "constraint users.users_state"),
    (USERS + "DROP CONSTRAINT users_balance, ADD CONSTRAINT users_balance CHECK (balance < 1001)",
     "constraint users.users_balance"),
    (USERS + "DROP CONSTRAINT users_balance, ADD CONSTRAINT users_balance CHECK (balance < 1000) NOT VALID",
     "constraint users.users_balance"),
    (USERS + "DROP CONSTRAINT users_balance, ADD CONSTRAINT users_balance CHECK (balance < 1000) NO INHERIT",
     "constraint users.users_balance"),
    (USERS + "ADD CONSTRAINT c CHECK (place > 0)", "constraint users.c"),
    (USERS + "RENAME CONSTRAINT users_name TO users_name_key", "constraint users.users_name",
     "constraint users.users_name_key"),
    (USERS + "ALTER CONSTRAINT users_parent_fkey NOT DEFERRABLE", "constraint users.users_parent_fkey"),
    (USERS + "ALTER CONSTRAINT users_parent_fkey DEFERRABLE INITIALLY DEFERRED", "constraint users.users_parent_fkey"),
    (ORDERS + "DROP CONSTRAINT orders_user", "constraint app.orders.orders_user"),
    (ORDERS + "DROP CONSTRAINT orders_user, ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users",
     "constraint app.orders.orders_user"),
    (ORDERS + "DROP CONSTRAINT orders_user, ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users "
     "ON DELETE SET NULL", "constraint app.orders.orders_user"),
    (ORDERS + "DROP CONSTRAINT orders_user, ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users "
     "ON DELETE CASCADE ON UPDATE CASCADE", "constraint app.orders.orders_user"),
    (ORDERS + "DROP CONSTRAINT orders_user, ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users "
     "ON DELETE CASCADE NOT VALID", "constraint app.orders.orders_user"),
    (ORDERS + "DROP CONSTRAINT orders_user, ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users "
     "ON DELETE CASCADE NOT ENFORCED", "constraint app.orders.orders_user", "18"),
    (USERS + "DROP CONSTRAINT users_name, ADD CONSTRAINT users_name UNIQUE (name) DEFERRABLE",
     "constraint users.users_name"),
    (USERS + "DROP CONSTRAINT users_name, ADD CONSTRAINT users_name UNIQUE (name, tag)", "constraint users.users_name"),
    (USERS + "DROP CONSTRAINT users_name, ADD CONSTRAINT users_name UNIQUE (name) INCLUDE (tag)",
     "constraint users.users_name"),
    (USERS + "DROP CONSTRAINT users_name, ADD CONSTRAINT users_name UNIQUE NULLS NOT DISTINCT (name)",
     "constraint users.users_name", "15"),
    (USERS + "DROP CONSTRAINT users_during, ADD CONSTRAINT users_during EXCLUDE USING gist (during WITH =)",
     "constraint users.users_during"),
    ("ALTER TABLE cache DROP CONSTRAINT cache_pkey", "constraint cache.cache_pkey"),
    ("ALTER TABLE base ADD CONSTRAINT c CHECK (a > 0)", "constraint base.c", "constraint child.c"),
    (ORDERS + "DISABLE TRIGGER ALL", "constraint app.orders.orders_user"),
    (USERS + "DISABLE TRIGGER ALL", "constraint app.orders.orders_user", "constraint users.users_parent_fkey",
     "trigger users.users_touch"),
    # indexes
    ("CREATE INDEX by_at ON users (at)", "index users.by_at"),
    ("DROP INDEX users_words", "index users.users_words"),
    ("DROP INDEX users_once; CREATE INDEX users_once ON users (tag, state)", "index users.users_once"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (state, tag)", "index users.users_once"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (tag, state DESC)", "index users.users_once"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (tag, state NULLS FIRST)",
     "index users.users_once"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (tag, state) NULLS NOT DISTINCT",
     "index users.users_once", "15"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (tag, state) INCLUDE (mood)",
     "index users.users_once"),
    ("DROP INDEX users_once; CREATE UNIQUE INDEX users_once ON users (tag, state) WHERE place > 1",
     "index users.users_once"),
    ("DROP INDEX users_tag; CREATE INDEX users_tag ON users (tag COLLATE \"POSIX\")", "index users.users_tag"),
    ("DROP INDEX users_tag; CREATE INDEX users_tag ON users (tag text_pattern_ops)", "index users.users_tag"),
    ("DROP INDEX users_tag; CREATE INDEX users_tag ON users USING hash (tag)", "index users.users_tag"),
    ("DROP INDEX users_lower; CREATE INDEX users_lower ON users (upper(name), at DESC) INCLUDE (mood) "
     "WHERE tag IS NOT NULL", "index users.users_lower"),
    ("DROP INDEX users_lower; CREATE INDEX users_lower ON users (lower(name), at DESC) INCLUDE (mood)",
     "index users.users_lower"),
    ("DROP INDEX users_words; CREATE INDEX users_words ON users USING gist (name gist_trgm_ops)",
     "index users.users_words"),
    ("DROP INDEX app.orders_body; CREATE INDEX orders_body ON app.orders USING gin (body jsonb_path_ops)",
     "index app.orders.orders_body"),
    ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_tag'::regclass", "index users.users_tag"),
    ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_name'::regclass",
     "constraint users.users_name"),
    ("DROP INDEX logs_at", "index logs.logs_at"),
    ("DROP INDEX totals_mood", "index totals.totals_mood"),
    ("ALTER INDEX users_tag RENAME TO other", "index users.other", "index users.users_tag"),
    # views
    ("CREATE OR REPLACE VIEW named AS SELECT id, name FROM users WHERE tag = 'b'", "view named"),
    ("CREATE OR REPLACE VIEW named AS SELECT id, name, tag FROM users WHERE tag = 'a'", "view named"),
    ("DROP VIEW named", "view named"),
    ("CREATE VIEW more AS SELECT 1 AS one", "view more"),
    ("ALTER VIEW guarded SET (security_barrier = false)", "view guarded"),
    ("ALTER VIEW named SET (security_barrier)", "view named"),
    ("ALTER VIEW named SET (security_invoker)", "view named", "15"),
    ("ALTER VIEW guarded RESET (check_option)", "view guarded"),
    ("ALTER VIEW guarded SET (check_option = local)", "view guarded"),
    ("ALTER VIEW named ALTER name SET DEFAULT 'x'", "view named"),
    ("ALTER VIEW named RENAME name TO title", "view named"),
    ("CREATE OR REPLACE VIEW joined AS SELECT u.id, o.body FROM users u LEFT JOIN app.orders o ON o.user_id = u.id",
     "view joined"),
    ("DROP MATERIALIZED VIEW totals; CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, mood FROM users "
     "GROUP BY mood HAVING count(*) > 1; CREATE UNIQUE INDEX totals_mood ON totals (mood)", "view totals"),
    ("DROP MATERIALIZED VIEW totals; CREATE VIEW totals AS SELECT count(*) AS n, mood FROM users GROUP BY mood",
     "contents of view totals", "index totals.totals_mood", "view totals"),
    ("REFRESH MATERIALIZED VIEW totals WITH NO DATA", "contents of view totals"),
    ("REFRESH MATERIALIZED VIEW later", ""),
    ("DROP MATERIALIZED VIEW later; CREATE MATERIALIZED VIEW later USING pile AS SELECT 1 AS one WITH NO DATA",
     "view later"),
    # functions
    ("ALTER FUNCTION plus STABLE", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus VOLATILE", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus STRICT", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus SECURITY DEFINER", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus LEAKPROOF", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus PARALLEL SAFE", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus PARALLEL RESTRICTED", "function plus(integer, integer)"),
    ("ALTER FUNCTION plus SET search_path = app", "function plus(integer, integer)"),
    ("ALTER FUNCTION app.touch() SET work_mem = '1MB'", "function app.touch()"),
    ("DROP FUNCTION plus; CREATE FUNCTION plus(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE "
     "AS 'SELECT 1'",
     "function plus(integer, integer)"),
    ("DROP FUNCTION plus; CREATE FUNCTION plus(a int, c int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE "
     "AS 'SELECT 1'",
     "function plus(integer, integer)"),
    ("DROP FUNCTION plus; CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS bigint LANGUAGE sql IMMUTABLE "
     "AS 'SELECT 1::bigint'", "function plus(integer, integer)"),
    ("DROP FUNCTION plus; CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE plpgsql IMMUTABLE "
     "AS 'BEGIN RETURN 1; END'", "function plus(integer, integer)"),
    ("DROP FUNCTION plus; CREATE FUNCTION plus(a int, VARIADIC b int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
     "function plus(integer, integer)", "function plus(integer, integer[])"),
    ("CREATE FUNCTION plus(a text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function plus(text)"),
    ("DROP PROCEDURE tidy", "function tidy()"),
    ("DROP PROCEDURE tidy; CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'SELECT 1'", "function tidy()"),
    ("ALTER FUNCTION done(bigint) RENAME TO finished", "function done(bigint)", "function finished(bigint)",
     "function total(integer)"),
    # types
    ("ALTER TYPE mood ADD VALUE 'glad'", "type mood"),
    ("ALTER TYPE mood ADD VALUE 'glad' BEFORE 'sad'", "type mood"),
    ("ALTER TYPE app.kind RENAME VALUE 'b' TO 'c'", "type app.kind"),
    ("CREATE TYPE colour AS ENUM ('red')", "type colour"),
    ("ALTER DOMAIN cents DROP CONSTRAINT cents_check", "type cents"),
    ("ALTER DOMAIN cents ADD CHECK (VALUE < 5)", "type cents"),
    ("ALTER DOMAIN cents ADD CHECK (VALUE < 5) NOT VALID", "type cents"),
    ("ALTER DOMAIN cents SET DEFAULT 1", "type cents"),
    ("ALTER DOMAIN cents DROP DEFAULT", "type cents"),
    ("ALTER DOMAIN cents SET NOT NULL", "type cents"),
    ("ALTER DOMAIN app.code DROP NOT NULL", "type app.code"),
    ("DROP DOMAIN app.code; CREATE DOMAIN app.code AS varchar(9) CONSTRAINT short CHECK (length(VALUE) > 2) NOT NULL",
     "type app.code"),
    ("DROP DOMAIN app.code; CREATE DOMAIN app.code AS varchar(8) COLLATE \"C\" CONSTRAINT short "
     "CHECK (length(VALUE) > 2) NOT NULL", "type app.code"),
    ("ALTER TYPE pair ADD ATTRIBUTE three int", "type pair"),
    ("ALTER TYPE pair ALTER ATTRIBUTE two TYPE varchar", "type pair"),
    ("ALTER TYPE pair ALTER ATTRIBUTE two TYPE text COLLATE \"C\"", "type pair"),
    ("ALTER TYPE pair RENAME ATTRIBUTE two TO deux", "type pair"),
    ("DROP TYPE span", "type span"),
    ("DROP TYPE span; CREATE TYPE span AS RANGE (subtype = float8)", "type span"),
    ("DROP TYPE span; CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi, "
     "multirange_type_name = spans)", "type span"),
    ("DROP TYPE span; CREATE TYPE span AS RANGE (subtype = numeric)", "type span"),
    # triggers, rules, policies
    (USERS + "DISABLE TRIGGER users_touch", "trigger users.users_touch"),
    (USERS + "ENABLE REPLICA TRIGGER users_touch", "trigger users.users_touch"),
    (USERS + "ENABLE ALWAYS TRIGGER users_touch", "trigger users.users_touch"),
    ("DROP TRIGGER users_touch ON users", "trigger users.users_touch"),
    ("CREATE TRIGGER again AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION app.touch()", "trigger users.again"),
    ("CREATE OR REPLACE TRIGGER users_touch BEFORE UPDATE OR INSERT ON users FOR EACH ROW "
     "EXECUTE FUNCTION app.touch()", "trigger users.users_touch"),
    ("CREATE OR REPLACE TRIGGER users_touch AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION app.touch()",
     "trigger users.users_touch"),
    ("CREATE OR REPLACE TRIGGER users_touch BEFORE UPDATE OF name ON users FOR EACH ROW EXECUTE FUNCTION app.touch()",
     "trigger users.users_touch"),
    ("CREATE OR REPLACE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW WHEN (new.tag = 'a') "
     "EXECUTE FUNCTION app.touch()", "trigger users.users_touch"),
    ("CREATE OR REPLACE TRIGGER users_touch BEFORE UPDATE ON users EXECUTE FUNCTION app.touch()",
     "trigger users.users_touch"),
    ("CREATE OR REPLACE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION app.touch('x')",
     "trigger users.users_touch"),
    ("ALTER TABLE logs_2026 DISABLE TRIGGER logs_touch", "trigger logs_2026.logs_touch"),
    (ORDERS + "DISABLE RULE no_delete", "rule app.orders.no_delete"),
    (ORDERS + "ENABLE REPLICA RULE no_delete", "rule app.orders.no_delete"),
    (ORDERS + "ENABLE ALWAYS RULE no_delete", "rule app.orders.no_delete"),
    ("DROP RULE no_delete ON app.orders", "rule app.orders.no_delete"),
    ("CREATE OR REPLACE RULE no_delete AS ON DELETE TO app.orders WHERE old.id > 1 DO INSTEAD NOTHING",
     "rule app.orders.no_delete"),
    ("CREATE RULE quiet AS ON INSERT TO base DO ALSO NOTIFY base", "rule base.quiet"),
    ("ALTER POLICY own ON app.orders USING (id > 1)", "policy app.orders.own"),
    ("ALTER POLICY own ON app.orders TO current_user", "policy app.orders.own"),
    ("ALTER POLICY write ON app.orders WITH CHECK (id > 11)", "policy app.orders.write"),
    ("DROP POLICY own ON app.orders", "policy app.orders.own"),
    ("DROP POLICY own ON app.orders; CREATE POLICY own ON app.orders FOR UPDATE USING (id > 0)",
     "policy app.orders.own"),
    ("DROP POLICY own ON app.orders; CREATE POLICY own ON app.orders AS RESTRICTIVE FOR SELECT USING (id > 0)",
     "policy app.orders.own"),
    ("CREATE POLICY more ON app.orders USING (true)", "policy app.orders.more"),
    ("ALTER EVENT TRIGGER watch DISABLE", "event trigger watch"),
    ("ALTER EVENT TRIGGER watch ENABLE REPLICA", "event trigger watch"),
    ("ALTER EVENT TRIGGER watch ENABLE ALWAYS", "event trigger watch"),
    ("DROP EVENT TRIGGER watch", "event trigger watch"),
    ("DROP EVENT TRIGGER watch; CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE POLICY') "
     "EXECUTE FUNCTION logged()", "event trigger watch"),
    ("DROP EVENT TRIGGER watch; CREATE EVENT TRIGGER watch ON ddl_command_end "
     "WHEN TAG IN ('DROP POLICY', 'CREATE POLICY') EXECUTE FUNCTION logged()", ""),
    # aggregates
    ("DROP AGGREGATE total(int)", "function total(integer)"),
    *((f"CREATE OR REPLACE AGGREGATE total(int) ({options})", "function total(integer)") for options in (
        "SFUNC = shrink, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '1', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8mi, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = shrink, "
        "MINVFUNC = grow, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '5', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, FINALFUNC_MODIFY = READ_WRITE, "
        "COMBINEFUNC = int8pl, MSFUNC = grow, MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done, SORTOP = <",
        "SFUNC = grow, STYPE = bigint, INITCOND = '0', FINALFUNC = done, COMBINEFUNC = int8pl, MSFUNC = grow, "
        "MINVFUNC = shrink, MSTYPE = bigint, MINITCOND = '0', MFINALFUNC = done, PARALLEL = SAFE",
    )),
    ("DROP AGGREGATE total(int); CREATE AGGREGATE total(int) (SFUNC = grow, STYPE = bigint, INITCOND = '0', "
     "COMBINEFUNC = int8pl)", "function total(integer)"),
    # collations
    (ICU.format("{locale} = 'de-AT'"), "collation german"),
    (ICU.format("collisdeterministic = false"), "collation german"),
    (ICU.format("collicurules = '&a < g'"), "collation german", "16"),
    (ICU.format("{locale} = 'de_DE'"), ""),
    ("DROP COLLATION german; CREATE COLLATION german (provider = libc, locale = 'C')", "collation german"),
    ("DROP COLLATION plain", "collation plain"),
    ("DROP COLLATION plain; CREATE COLLATION plain (provider = libc, locale = 'POSIX')", "collation plain"),
    ("DROP COLLATION plain; CREATE COLLATION plain (provider = libc, lc_collate = 'C', lc_ctype = 'POSIX')",
     "collation plain"),
    # text search
    ("ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH simple",
     "text search configuration words"),
    ("ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR word WITH stop, english_stem",
     "text search configuration words"),
    ("ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR url", "text search configuration words"),
    ("ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR tag WITH simple", "text search configuration words"),
    ("DROP TEXT SEARCH CONFIGURATION words", "text search configuration words"),
    ("CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple)", "text search configuration app.words"),
    ("ALTER TEXT SEARCH DICTIONARY stop (STOPWORDS = german)", "text search dictionary stop"),
    ("ALTER TEXT SEARCH DICTIONARY stop (ACCEPT = false)", "text search dictionary stop"),
    ("CREATE TEXT SEARCH DICTIONARY more (TEMPLATE = simple)", "text search dictionary more"),
    # operators, casts, publications, foreign servers
    ("DROP OPERATOR === (pair, pair)", "operator ===(pair, pair)"),
    ("ALTER OPERATOR === (pair, pair) SET (RESTRICT = eqsel)", "operator ===(pair, pair)"),
    ("ALTER OPERATOR === (pair, pair) SET (JOIN = eqjoinsel)", "operator ===(pair, pair)"),
    ("CREATE OPERATOR @@@ (LEFTARG = pair, RIGHTARG = pair, FUNCTION = same)", "operator @@@(pair, pair)"),
    ("DROP CAST (int AS pair)", "cast integer as pair"),
    ("DROP CAST (int AS pair); CREATE CAST (int AS pair) WITH FUNCTION paired(int) AS IMPLICIT",
     "cast integer as pair"),
    ("DROP CAST (int AS pair); CREATE CAST (int AS pair) WITH FUNCTION paired(int)", "cast integer as pair"),
    ("CREATE CAST (mood AS app.kind) WITH INOUT", "cast mood as app.kind"),
    ("CREATE OPERATOR CLASS strange FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 3 =, "
     "FUNCTION 1 btint4cmp(int, int)",
     "operator class strange for btree", "operator family strange for btree"),
    ("ALTER PUBLICATION news DROP TABLE users", "publication news"),
    ("ALTER PUBLICATION news ADD TABLE base", "publication news"),
    ("ALTER PUBLICATION news SET (publish = 'insert, update, delete')", "publication news"),
    ("ALTER PUBLICATION news SET (publish_via_partition_root)", "publication news"),
    ("ALTER PUBLICATION news SET TABLE users, app.orders (id, note)", "publication news", "15"),
    ("ALTER PUBLICATION news SET TABLE users WHERE (id > 1), app.orders", "publication news", "15"),
    ("ALTER PUBLICATION news ADD TABLES IN SCHEMA app", "publication news", "15"),
    ("CREATE PUBLICATION everything FOR ALL TABLES", "publication everything"),
    ("DROP PUBLICATION news", "publication news"),
    ("DROP SERVER elsewhere CASCADE", "foreign server elsewhere", "table far"),
    ("CREATE SERVER there FOREIGN DATA WRAPPER nothing", "foreign server there"),
    ("CREATE FOREIGN DATA WRAPPER more", "foreign data wrapper more"),
    ("ALTER FOREIGN DATA WRAPPER nothing VALIDATOR postgresql_fdw_validator", "foreign data wrapper nothing"),
    ("DROP LANGUAGE other", "language other"),
    ("CREATE TRUSTED LANGUAGE more HANDLER plpgsql_call_handler", "language more"),
    ("CREATE OR REPLACE LANGUAGE other HANDLER handler VALIDATOR plpgsql_validator", "language other"),
    ("CREATE ACCESS METHOD more TYPE INDEX HANDLER bthandler", "access method more"),
    ("DROP ACCESS METHOD pile", "access method pile"),
    ("CREATE TRANSFORM FOR pair LANGUAGE other (FROM SQL WITH FUNCTION prsd_lextype(internal))",
     "transform pair for other"),
    ("CREATE SUBSCRIPTION all_news CONNECTION 'dbname=x' PUBLICATION news WITH (connect = false)",
     "subscription all_news"),
    ("INSERT INTO pg_seclabel VALUES ('users'::regclass, 'pg_class'::regclass, 0, 'guard', 'secret')",
     "security label users by guard"),
    # what the sessions of this database, or of a role in it, begin with
    (IN_DATABASE + "SET timezone = 'Asia/Tokyo'$$)", "setting of database TimeZone"),
    (IN_DATABASE + "SET default_transaction_read_only = on$$)", "setting of database default_transaction_read_only"),
    (IN_DATABASE + "SET app.tenant = 'a'$$)", "setting of database app.tenant"),
    (IN_DATABASE + "SET statement_timeout = 9$$)", "setting of database statement_timeout"),
    (IN_DATABASE + "SET work_mem = '9MB'$$)", "~settings of database work_mem"),
    (IN_DATABASE + "SET random_page_cost = 1.1$$)", "~settings of database random_page_cost"),
    (IN_DATABASE + "SET log_min_duration_statement = 100$$)", "~settings of database log_min_duration_statement"),
    (IN_DATABASE + "SET timezone = 'UTC'$$); " + IN_DATABASE + "RESET timezone$$)", ""),
    (FOR_ROLE + "SET search_path = app$$)", "setting of role planted.search_path"),
    (FOR_ROLE + "SET enable_seqscan = off$$)", "~settings of role planted.enable_seqscan"),
    ("ALTER SERVER elsewhere OPTIONS (SET host 'there')", "~settings of foreign server elsewhere"),
    ("ALTER SERVER elsewhere OPTIONS (DROP host)", "~settings of foreign server elsewhere"),
    ("ALTER SERVER elsewhere OPTIONS (ADD port '1')", "~settings of foreign server elsewhere"),
    ("ALTER SERVER elsewhere VERSION '2'", "foreign server elsewhere"),
    ("ALTER FOREIGN DATA WRAPPER nothing OPTIONS (ADD debug 'true')", "~settings of foreign data wrapper nothing"),
    # spaces in a value
    (ORDERS + "ALTER note SET DEFAULT 'a  b'", "column app.orders.note"),
    (ORDERS + "ALTER note SET DEFAULT 'a b '", "column app.orders.note"),
    (ORDERS + "ALTER note SET DEFAULT E'a\\tb'", "column app.orders.note"),
    (USERS + "DROP CONSTRAINT users_state, ADD CONSTRAINT users_state CHECK (state IN ('new', 'old ', 'gone'))",
     "constraint users.users_state"),
    ("CREATE OR REPLACE VIEW named AS SELECT id, name FROM users WHERE tag = ' a'", "view named"),
    ("ALTER TYPE mood RENAME VALUE 'ok' TO 'ok '", "column users.mood", "type mood"),
    ("ALTER POLICY own ON app.orders USING (note <> 'a  b')", "policy app.orders.own"),
    # names with a dot
    ('CREATE TABLE "app.orders" (id int)', "column app.orders.id", "table app.orders"),
    ("DROP STATISTICS users_stat", "statistics users_stat"),
    ("DROP STATISTICS users_stat; CREATE STATISTICS users_stat (ndistinct) ON mood, tag FROM users",
     "statistics users_stat"),
    ("DROP EXTENSION pg_trgm CASCADE", "extension pg_trgm", "index users.users_words"),
    # told, and nothing is refused
    (USERS + "SET (fillfactor = 70)", "~settings of table users"),
    (USERS + "SET (autovacuum_enabled = false)", "~settings of table users"),
    (USERS + "SET (toast.autovacuum_enabled = false)", "~settings of table users"),
    (USERS + "REPLICA IDENTITY FULL", "~settings of table users"),
    (USERS + "REPLICA IDENTITY NOTHING", "~settings of table users"),
    (ORDERS + "REPLICA IDENTITY USING INDEX orders_pkey", "~settings of table app.orders"),
    (ORDERS + "CLUSTER ON orders_pkey", "~settings of table app.orders"),
    ("ALTER MATERIALIZED VIEW totals SET (fillfactor = 70)", "~settings of table totals"),
    (ORDERS + "ALTER body SET STORAGE EXTERNAL", "~settings of column app.orders.body"),
    (ORDERS + "ALTER note SET STORAGE PLAIN", "~settings of column app.orders.note"),
    (ORDERS + "ALTER note SET COMPRESSION pglz", "~settings of column app.orders.note"),
    (ORDERS + "ALTER note SET STATISTICS 500", "~settings of column app.orders.note"),
    (ORDERS + "ALTER note SET (n_distinct = 5)", "~settings of column app.orders.note"),
    ("ALTER INDEX users_tag SET (fillfactor = 50)", "~settings of index users.users_tag"),
    ("ALTER INDEX users_words SET (fastupdate = off)", "~settings of index users.users_words"),
    ("ALTER INDEX users_name SET (fillfactor = 50)", "~settings of index users.users_name"),
    ("ALTER INDEX users_lower ALTER COLUMN 1 SET STATISTICS 300", "~settings of index users.users_lower"),
    ("ALTER STATISTICS users_stat SET STATISTICS 7", "~settings of statistics users_stat"),
    ("ALTER FUNCTION plus COST 7", "~settings of function plus(integer, integer)"),
    ("ALTER FUNCTION many ROWS 7", "~settings of function many()"),
    ("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'pg_trgm'", "~version of extension pg_trgm"),
    # no difference
    ("SELECT 1", ""),
    (USERS + "ADD note text; ALTER TABLE users DROP note", ""),
    (ORDERS + "ADD x serial; ALTER TABLE app.orders DROP x", ""),
    ("ALTER TYPE pair ADD ATTRIBUTE x int; ALTER TYPE pair DROP ATTRIBUTE x", ""),
    (ORDERS + "DROP note; ALTER TABLE app.orders ADD note text DEFAULT 'a b'", ""),
    ("CREATE EXTENSION hstore", ""),
    ("CREATE EXTENSION hstore SCHEMA app", ""),
    ("CREATE EXTENSION btree_gist SCHEMA app", ""),
    ("CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions", "schema extensions"),
    ("ALTER EXTENSION pg_trgm SET SCHEMA app", ""),
    ("CREATE TABLE alembic_version (version_num text); CREATE TABLE knex_migrations (id serial, name text)", ""),
    ("CREATE TABLE flyway_schema_history (version text)", ""),
    ("CREATE TABLE django_migrations (id serial, app text, name text)", ""),
    ("CREATE TABLE schema_migrations (version text)", ""),
    ("CREATE TABLE databasechangelog (id text); CREATE TABLE databasechangeloglock (id int)", ""),
    ("CREATE TABLE _prisma_migrations (id text)", ""),
    ("CREATE SCHEMA dataops_stash_1; CREATE TABLE dataops_stash_1.users (id int)", ""),
    ("CREATE TEMPORARY TABLE mine (id int)", ""),
    ("INSERT INTO base VALUES (1); ANALYZE base", ""),
    ("SELECT nextval('loose'), setval('users_id_seq', 77)", ""),
    ("ALTER SEQUENCE loose RESTART 9", ""),
    ("REFRESH MATERIALIZED VIEW totals", ""),
    ("REINDEX TABLE users", ""),
    ("ALTER INDEX users_name RENAME TO users_x; ALTER INDEX users_x RENAME TO users_name", ""),
    (USERS + "DISABLE TRIGGER ALL; ALTER TABLE users ENABLE TRIGGER ALL", ""),
    ("ALTER SEQUENCE users_id_seq RENAME TO other", "column users.id"),
    ("ALTER SEQUENCE users_place_seq RENAME TO other", ""),
    ("CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'", ""),
    ("COMMENT ON TABLE users IS 'people'", ""),
    ("GRANT SELECT ON users TO public", ""),
    ("ALTER TABLE users OWNER TO pg_database_owner", ""),
    ("SET search_path = app, public; SET search_path = public", ""),
    ("SET timezone = 'Asia/Tokyo'", ""),
    ("SET datestyle = 'German'; SET intervalstyle = 'iso_8601'", ""),
]  # fmt: skip

BODIES: list[tuple[str, ...]] = [
    ("CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7'",
     "body of function plus(integer, integer)"),
    ("CREATE OR REPLACE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS"
     " '/* in /* two */ depths */ SELECT\n  a+b -- sum'", ""),
    (TOUCH + "'BEGIN new.at=now(); RETURN new; END'", ""),
    (TOUCH + "'BEGIN new.at = now(); RETURN old; END'", "body of function app.touch()"),
    (TOUCH + "$$BEGIN new.at = now(); RAISE '--  no'; RETURN new; END$$", "body of function app.touch()"),
    ("COMMENT ON TABLE users IS 'people'", "comment on users"),
    ("COMMENT ON COLUMN users.mood IS NULL", "comment on users.mood"),
    ("COMMENT ON COLUMN users.mood IS 'otherwise'", "comment on users.mood"),
    ("COMMENT ON FUNCTION plus IS 'sums'", "comment on plus(integer, integer)"),
    ("COMMENT ON INDEX users_tag IS 'x'", "comment on users_tag"),
    ("COMMENT ON TYPE mood IS 'x'", "comment on mood"),
    ("COMMENT ON CONSTRAINT users_name ON users IS 'x'", "comment on users.users_name"),
    ("COMMENT ON TRIGGER users_touch ON users IS 'x'", "comment on users.users_touch"),
    ("COMMENT ON POLICY own ON app.orders IS 'x'", "comment on app.orders.own"),
    ("COMMENT ON RULE no_delete ON app.orders IS 'x'", "comment on app.orders.no_delete"),
    ("COMMENT ON SCHEMA app IS 'x'", "comment on schema app"),
    ("COMMENT ON EVENT TRIGGER watch IS 'x'", "comment on event trigger watch"),
    ("GRANT SELECT ON users TO public", ""),
]  # fmt: skip

GRANTS: list[tuple[str, ...]] = [
    ("GRANT SELECT ON users TO public", "grants on users"),
    ("GRANT SELECT (name) ON users TO public", "grants on users.name"),
    ("REVOKE EXECUTE ON FUNCTION plus FROM public", "grants on plus(integer, integer)"),
    ("REVOKE USAGE ON TYPE mood FROM public", "grants on mood"),
    ("GRANT USAGE ON SCHEMA app TO public", "grants on schema app"),
    ("CREATE USER MAPPING FOR public SERVER elsewhere", "user mapping public for elsewhere"),
    ("DROP USER MAPPING FOR CURRENT_USER SERVER elsewhere", "user mapping dataops for elsewhere"),
    ("GRANT USAGE ON FOREIGN SERVER elsewhere TO public", "grants on foreign server elsewhere"),
    ("GRANT USAGE ON FOREIGN DATA WRAPPER nothing TO public", "grants on foreign data wrapper nothing"),
    ("ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO public",
     "default grants on tables of dataops in app"),
    # what was given and taken back is as before
    *((f"GRANT {what} TO pg_monitor; REVOKE {what} FROM pg_monitor", "") for what in (
        "SELECT ON users", "SELECT (name) ON users", "ALL ON loose", "ALL ON FUNCTION plus", "USAGE ON TYPE mood",
        "USAGE ON SCHEMA app", "SELECT ON named", "USAGE ON FOREIGN SERVER elsewhere",
    )),
    ("REVOKE USAGE ON TYPE mood FROM public; GRANT USAGE ON TYPE mood TO public", ""),
    ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public; "
     "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM public", ""),
]  # fmt: skip


def service(url: str) -> Service:
    return Service("it", POSTGRESQL if url.startswith("postgres") else MONGODB, url, Path("nowhere"))


def told(found: tuple[Difference, ...]) -> list[str]:
    return sorted(f"{'~' if one.open else ''}{one.kind} {one.name}" for one in found)


def wrong(
    pg: psycopg.Connection[Any], before: Catalogue, cases: list[tuple[str, ...]], *, details: bool = False
) -> Iterator[str]:
    """Each case that is not told as it should be. A number at the end of a case is the first version that has it."""
    for statement, *expected in cases:
        if expected[-1].isdigit() and pg.info.server_version // 10000 < int(expected.pop()):
            continue
        expected = [one for one in expected if one and not one.isdigit()]
        with pg.transaction(force_rollback=True):
            try:
                pg.execute(statement.replace("{locale}", locale_column(pg)).encode())
            except psycopg.Error as error:
                yield f"{statement}: {error}"
                continue
            found = told(compare(before, catalogue.read(pg), details=details))
        if found != sorted(expected):
            yield f"{statement}\n    told {found}\n    not  {sorted(expected)}"


def locale_column(pg: psycopg.Connection[Any]) -> str:
    version = pg.info.server_version // 10000
    return "colllocale" if version >= 17 else "colliculocale" if version >= 15 else "collcollate"


@pytest.fixture
def shop(pg: psycopg.Connection[Any]) -> Catalogue:
    pg.execute((SHOP + RUN).encode())
    with pg.transaction(force_rollback=True):
        return catalogue.read(pg)


@pytest.mark.usefixtures("shop")
def test_each_planted_difference_in_postgresql_is_told(pg: psycopg.Connection[Any]) -> None:
    pg.execute(ICU.format(f"collprovider = 'i', {locale_column(pg)} = 'de-DE'").encode())
    shop = catalogue.read(pg)
    assert shop.objects["collation", "german"] == "icu de-DE"
    assert "\n".join(wrong(pg, shop, POSTGRES)) == ""


def test_bodies_and_comments_are_told_where_they_are_asked_for(pg: psycopg.Connection[Any], shop: Catalogue) -> None:
    assert "\n".join(wrong(pg, shop.with_bodies(), BODIES)) == ""


def test_rights_are_told_with_details_and_those_that_were_taken_back_are_not(
    pg: psycopg.Connection[Any], shop: Catalogue
) -> None:
    assert "\n".join(wrong(pg, shop, GRANTS, details=True)) == ""


def test_a_restored_dump_is_no_difference(
    postgres: PostgresServer, pg_url: str, pg: psycopg.Connection[Any], shop: Catalogue, tmp_path: Path
) -> None:
    dumped = tmp_path / "dump.sql"
    tool = find_postgres(int(postgres.version.split(".")[0])).path.parent / "pg_dump"
    subprocess.run([tool, "--schema-only", "--file", dumped, pg_url], check=True, timeout=60)
    with fresh_postgres(postgres) as restored, psycopg.connect(restored, autocommit=True) as other:
        lines = (line for line in dumped.read_text().splitlines() if not line.startswith("\\"))
        other.execute("\n".join(lines).encode())
        other.execute("REFRESH MATERIALIZED VIEW public.totals")  # a dump of the schema has no contents
        assert compare(shop, connect(service(restored)).catalogue(), details=True) == ()


# --- MongoDB

Change = Callable[[Mongo], object]
PLAIN: dict[str, Any] = {}


def made(**options: Any) -> Change:
    """A collection `c`, instead of the one that was there."""
    return lambda db: (db.drop_collection("c"), db.create_collection("c", **options))


def indexed(keys: Any, **options: Any) -> Change:
    """An index `i` on `c`, instead of the one that was there."""

    def change(db: Mongo) -> None:
        if "i" in db.c.index_information():
            db.c.drop_index("i")
        db.c.create_index(keys, name="i", **options)

    return change


def dropped(db: Mongo, index: str) -> object:
    return db.command("dropIndexes", "c", index=index)


def viewed(source: str, pipeline: list[Any], **options: Any) -> Change:
    return lambda db: (db.drop_collection("v"), db.create_collection("v", viewOn=source, pipeline=pipeline, **options))


def modified(what: str = "c", **options: Any) -> Change:
    return lambda db: db.command("collMod", what, **options)


def one_of(value: Any) -> dict[str, Any]:
    return {"$jsonSchema": {"properties": {"b": {"enum": [value]}}}}


TEXT, NEAR = [("about", "text"), ("title", "text")], [("place", "2dsphere")]
SCHEMA = {"$jsonSchema": {"required": ["mail"], "properties": {"mail": {"bsonType": "string"}}}}
OTHER_SCHEMA = {"$jsonSchema": {"required": ["mail"], "properties": {"mail": {"bsonType": "int"}}}}
SERIES = {"timeField": "at", "metaField": "of", "granularity": "minutes"}
PART, TURNED = {"b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}}
EXISTS, ADULT = {"a": {"$exists": True}}, {"a": {"$gt": 18}}

MONGO: list[tuple[Change, Change, str]] = [
    *((made(), indexed([("a", 1)], **options), "index c.i") for options in (PLAIN, {"unique": True})),
    *(
        (indexed(keys, **before), indexed(other, **after), "index c.i")
        for keys, before, other, after in (
            ("a", PLAIN, "b", PLAIN),
            ("a", PLAIN, [("a", -1)], PLAIN),
            ("a", PLAIN, [("a", "hashed")], PLAIN),
            ("a", PLAIN, [("a", 1), ("b", 1)], PLAIN),
            ([("a", 1), ("b", 1)], PLAIN, [("b", 1), ("a", 1)], PLAIN),
            ([("a", 1), ("b", 1)], PLAIN, [("a", 1), ("b", -1)], PLAIN),
            ("a", PLAIN, "a", {"unique": True}),
            ("a", {"unique": True}, "a", PLAIN),
            ("a", PLAIN, "a", {"sparse": True}),
            ("a", {"sparse": True}, "a", PLAIN),
            ("a", PLAIN, "a", {"hidden": True}),
            ("a", {"hidden": True}, "a", PLAIN),
            ("a", PLAIN, "a", {"expireAfterSeconds": 60}),
            ("a", {"expireAfterSeconds": 60}, "a", {"expireAfterSeconds": 120}),
            ("a", {"expireAfterSeconds": 60}, "a", PLAIN),
            ("a", {"expireAfterSeconds": 0}, "a", PLAIN),
            ("a", PLAIN, "a", {"partialFilterExpression": EXISTS}),
            ("a", {"partialFilterExpression": EXISTS}, "a", {"partialFilterExpression": ADULT}),
            ("a", {"partialFilterExpression": EXISTS}, "a", PLAIN),
            ("a", {"partialFilterExpression": PART}, "a", {"partialFilterExpression": TURNED}),
            ("a", {"partialFilterExpression": {"b": {"$eq": PART["b"]}}}, "a",
             {"partialFilterExpression": {"b": {"$eq": TURNED["b"]}}}),
            ("a", PLAIN, "a", {"collation": {"locale": "de"}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "en"}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "de", "strength": 2}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "de", "numericOrdering": True}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "de", "caseFirst": "upper"}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "de", "backwards": True}}),
            ("a", {"collation": {"locale": "de"}}, "a", {"collation": {"locale": "de", "alternate": "shifted"}}),
            (TEXT, PLAIN, TEXT, {"weights": {"title": 5}}),
            (TEXT, PLAIN, TEXT, {"default_language": "german"}),
            (TEXT, PLAIN, TEXT, {"language_override": "tongue"}),
            (TEXT, PLAIN, TEXT[:1], PLAIN),
            (TEXT, PLAIN, TEXT, {"textIndexVersion": 2}),
            (NEAR, PLAIN, NEAR, {"2dsphereIndexVersion": 2}),
            (NEAR, PLAIN, [("place", "2d")], PLAIN),
            ([("place", "2d")], PLAIN, [("place", "2d")], {"bits": 20}),
            ([("place", "2d")], PLAIN, [("place", "2d")], {"min": -90, "max": 90}),
            ([("$**", 1)], PLAIN, [("a.$**", 1)], PLAIN),
            ([("$**", 1)], {"wildcardProjection": {"a": 1}}, [("$**", 1)], {"wildcardProjection": {"b": 1}}),
            ([("$**", 1)], PLAIN, [("$**", 1)], {"wildcardProjection": {"a": 1}}),
        )
    ),
    (indexed("a"), lambda db: dropped(db, "i"), "index c.i"),
    (indexed("a", unique=True), lambda db: (dropped(db, "i"), db.c.create_index("a", name="i")), "index c.i"),
    (indexed("a"), modified(index={"name": "i", "hidden": True}), "index c.i"),
    (indexed("a", expireAfterSeconds=9), modified(index={"name": "i", "expireAfterSeconds": 10}), "index c.i"),
    (indexed("a"), modified(index={"name": "i", "prepareUnique": True}), "index c.i"),
    *(
        (made(**before), made(**after), "collection c")
        for before, after in (
            (PLAIN, {"capped": True, "size": 4096}),
            ({"capped": True, "size": 4096}, PLAIN),
            ({"capped": True, "size": 4096}, {"capped": True, "size": 8192}),
            ({"capped": True, "size": 4096}, {"capped": True, "size": 4096, "max": 5}),
            ({"capped": True, "size": 4096, "max": 5}, {"capped": True, "size": 4096, "max": 6}),
            (PLAIN, {"collation": {"locale": "de"}}),
            ({"collation": {"locale": "de"}}, PLAIN),
            ({"collation": {"locale": "de"}}, {"collation": {"locale": "de", "strength": 1}}),
            (PLAIN, {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}),
            ({"clusteredIndex": {"key": {"_id": 1}, "unique": True}}, PLAIN),
            (PLAIN, {"timeseries": SERIES}),
            ({"timeseries": SERIES}, {"timeseries": {**SERIES, "granularity": "hours"}}),
            ({"timeseries": SERIES}, {"timeseries": {**SERIES, "metaField": "whose"}}),
            ({"timeseries": SERIES}, {"timeseries": {**SERIES, "timeField": "on"}}),
            ({"timeseries": SERIES}, {"timeseries": SERIES, "expireAfterSeconds": 60}),
            ({"timeseries": SERIES, "expireAfterSeconds": 60}, {"timeseries": SERIES, "expireAfterSeconds": 61}),
            (PLAIN, {"changeStreamPreAndPostImages": {"enabled": True}}),
        )
    ),
    *(
        (made(**before), made(**after), "validator c.validator")
        for before, after in (
            (PLAIN, {"validator": SCHEMA}),
            ({"validator": SCHEMA}, PLAIN),
            ({"validator": SCHEMA}, {"validator": OTHER_SCHEMA}),
            ({"validator": SCHEMA}, {"validator": {"mail": {"$type": "string"}}}),
            ({"validator": SCHEMA}, {"validator": SCHEMA, "validationLevel": "moderate"}),
            ({"validator": SCHEMA}, {"validator": SCHEMA, "validationAction": "warn"}),
            ({"validator": SCHEMA, "validationLevel": "off"}, {"validator": SCHEMA}),
            ({"validator": {"$and": [PART]}}, {"validator": {"$and": [TURNED]}}),
            ({"validator": one_of(PART["b"])}, {"validator": one_of(TURNED["b"])}),
            ({"validator": {"b": {"$in": [PART["b"]]}}}, {"validator": {"b": {"$in": [TURNED["b"]]}}}),
        )
    ),
    (made(validator=SCHEMA), modified(validator=OTHER_SCHEMA), "validator c.validator"),
    (made(validator=SCHEMA), modified(validationLevel="off"), "validator c.validator"),
    (made(validator=SCHEMA), modified(validator={}), "validator c.validator"),
    (made(changeStreamPreAndPostImages={"enabled": True}), modified(changeStreamPreAndPostImages={"enabled": False}),
     "collection c"),
    *(
        (viewed(*before), viewed(*after), "view v")
        for before, after in (
            (("c", []), ("d", [])),
            (("c", []), ("c", [{"$match": ADULT}])),
            (("c", [{"$match": ADULT}]), ("c", [{"$match": EXISTS}])),
            (("c", [{"$match": ADULT}]), ("c", [{"$match": ADULT}, {"$limit": 5}])),
            (("c", [{"$match": ADULT}, {"$limit": 5}]), ("c", [{"$limit": 5}, {"$match": ADULT}])),
            (("c", [{"$sort": {"a": 1, "b": 1}}]), ("c", [{"$sort": {"b": 1, "a": 1}}])),
            (("c", [{"$project": {"a": 1}}]), ("c", [{"$project": {"a": 0}}])),
        )
    ),
    (viewed("c", []), viewed("c", [], collation={"locale": "de"}), "view v"),
    (viewed("c", []), lambda db: db.drop_collection("v"), "view v"),
    (viewed("c", []), lambda db: (db.drop_collection("v"), db.create_collection("v")), "collection v, view v"),
    (made(), lambda db: db.create_collection("d"), "collection d"),
    (made(), lambda db: db.drop_collection("c"), "collection c"),
    (indexed("a"), lambda db: db.c.rename("d"), "collection c, collection d"),
    # no difference
    (indexed("a"), lambda db: (dropped(db, "i"), db.command("createIndexes", "c", indexes=[
        {"name": "i", "key": {"a": 1.0}}])), ""),
    (indexed("a"), indexed("a", background=True), ""),
    (indexed("a"), indexed("a", sparse=False, unique=False), ""),
    (indexed("a", expireAfterSeconds=60), indexed("a", expireAfterSeconds=60.0), ""),
    (indexed("a", collation={"locale": "de"}), indexed("a", collation={"locale": "de", "strength": 3}), ""),
    (made(validator=SCHEMA), made(validator=SCHEMA, validationLevel="strict", validationAction="error"), ""),
    (made(), modified(validator={}), ""),
    (made(validator={"a": {"$gt": 1, "$lt": 5}, "b": {"$exists": True}}),
     made(validator={"b": {"$exists": True}, "a": {"$lt": 5, "$gt": 1}}), ""),
    (made(validator={"$jsonSchema": {"required": ["a"], "properties": {"a": {"minimum": 1, "bsonType": "int"}}}}),
     made(validator={"$jsonSchema": {"properties": {"a": {"bsonType": "int", "minimum": 1}}, "required": ["a"]}}), ""),
    (indexed("a"), lambda db: (db.c.insert_one({"x": 1}), db.c.update_one({}, {"$unset": {"x": 1}})), ""),
    (indexed("a"), lambda db: (db.c.create_index("b", name="j"), dropped(db, "j")), ""),
    (indexed("a"), lambda db: (db.c.rename("d"), db.d.rename("c")), ""),
    (made(), lambda db: [db[name].insert_one({}) for name in ("changelog", "dataops_journal", "pymongo_migrate")], ""),
    (made(), lambda db: db["dataops_stash_1.users"].insert_one({}), ""),
    (indexed("a"), lambda db: restored(db), ""),
]  # fmt: skip


def restored(db: Mongo) -> None:
    """What mongodump and mongorestore keep: the options of each collection as they are listed, and its indexes."""
    options = next(iter(db.list_collections(filter={"name": "c"})))["options"]
    indexes = [index for index in map(dict, db.c.list_indexes()) if index["name"] != "_id_"]
    db.drop_collection("c")
    db.create_collection("c", **options)
    db.command("createIndexes", "c", indexes=indexes)


def test_each_planted_difference_in_mongodb_is_told(mongo_url: str) -> None:
    failed = []
    with MongoClient[dict[str, Any]](mongo_url) as client:
        db, database = client.get_default_database(), connect(service(mongo_url))
        for number, (before, change, expected) in enumerate(MONGO):
            for name in ("v", "c", "d"):
                db.drop_collection(name)
            before(db)
            was = database.catalogue()
            change(db)
            if ", ".join(found := told(compare(was, database.catalogue()))) != expected:
                failed.append(f"{number}: told {found}, not {expected}; {was.objects}")
        database.close()
    assert "\n".join(failed) == ""


def test_there_are_enough_of_them() -> None:
    assert sum(bool("".join(case[1:])) for case in (*POSTGRES, *BODIES)) + sum(bool(one[2]) for one in MONGO) >= 300
