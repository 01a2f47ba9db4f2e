CREATE SCHEMA app;
CREATE FUNCTION handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRUSTED LANGUAGE other HANDLER handler VALIDATOR plpgsql_validator;
COMMENT ON LANGUAGE other IS 'as plpgsql';
CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD pile IS 'as heap';
CREATE ACCESS METHOD tree TYPE INDEX HANDLER bthandler;
CREATE TYPE pair AS (one int, two text);
CREATE TYPE app.size AS (number int);
CREATE FUNCTION said(text) RETURNS text LANGUAGE other AS 'BEGIN RETURN $1; END';
CREATE FUNCTION app.same(pair, pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).one = ($2).one';
CREATE FUNCTION app.differ(pair, pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).one <> ($2).one';
CREATE FUNCTION below(app.size, app.size) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).number < ($2).number';
CREATE FUNCTION above(app.size, app.size) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).number > ($2).number';
CREATE FUNCTION ranked(app.size, app.size) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT ($1).number - ($2).number';
CREATE FUNCTION ranked(app.size, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT ($1).number - $2';
CREATE FUNCTION below(app.size, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).number < $2';
CREATE FUNCTION negated(app.size) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -($1).number';
CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = app.same, COMMUTATOR = ===, NEGATOR = !==,
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR !== (LEFTARG = pair, RIGHTARG = pair, FUNCTION = app.differ, COMMUTATOR = !==, NEGATOR = ===);
COMMENT ON OPERATOR === (pair, pair) IS 'the same number';
CREATE OPERATOR app.<# (LEFTARG = app.size, RIGHTARG = app.size, FUNCTION = below, COMMUTATOR = OPERATOR(app.>#));
CREATE OPERATOR app.># (LEFTARG = app.size, RIGHTARG = app.size, FUNCTION = above, COMMUTATOR = OPERATOR(app.<#));
CREATE OPERATOR app.<# (LEFTARG = app.size, RIGHTARG = int, FUNCTION = below);
CREATE OPERATOR !# (RIGHTARG = app.size, FUNCTION = negated);
CREATE OPERATOR FAMILY app.sizes USING btree;
CREATE OPERATOR CLASS app.by_number FOR TYPE app.size USING btree FAMILY app.sizes
    AS OPERATOR 1 app.<#, OPERATOR 5 app.>#, FUNCTION 1 ranked(app.size, app.size);
ALTER OPERATOR FAMILY app.sizes USING btree ADD OPERATOR 1 app.<# (app.size, int), FUNCTION 1 (app.size, int)
    ranked(app.size, int);
COMMENT ON OPERATOR CLASS app.by_number USING btree IS 'by their numbers';
COMMENT ON OPERATOR FAMILY app.sizes USING btree IS 'sizes';
CREATE OPERATOR CLASS other_ints FOR TYPE int USING btree
    AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE FUNCTION paired(int) RETURNS pair LANGUAGE sql IMMUTABLE AS 'SELECT ($1, NULL)::pair';
CREATE CAST (int AS pair) WITH FUNCTION paired(int) AS ASSIGNMENT;
CREATE CAST (pair AS text) WITH INOUT;
CREATE CAST (app.size AS int) WITH FUNCTION negated(app.size) AS IMPLICIT;
COMMENT ON CAST (int AS pair) IS 'the first of two';
CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION app.latin IS 'as usual';
CREATE TEXT SEARCH PARSER app.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end,
    HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE app.plain (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY stop (TEMPLATE = simple, STOPWORDS = english, ACCEPT = false);
CREATE TEXT SEARCH DICTIONARY app."Its own" (TEMPLATE = app.plain);
CREATE TEXT SEARCH CONFIGURATION words (COPY = english);
ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH stop, app."Its own", english_stem;
CREATE TEXT SEARCH CONFIGURATION app.words (PARSER = app.words);
COMMENT ON TEXT SEARCH CONFIGURATION words IS 'for titles';
COMMENT ON TEXT SEARCH DICTIONARY stop IS 'without these';
COMMENT ON TEXT SEARCH PARSER app.words IS 'as usual';
COMMENT ON TEXT SEARCH TEMPLATE app.plain IS 'as simple';
CREATE COLLATION german (provider = libc, locale = 'C');
COMMENT ON COLLATION german IS 'not really';
CREATE TABLE books (
    id int PRIMARY KEY,
    title text NOT NULL,
    of pair,
    size app.size,
    found tsvector GENERATED ALWAYS AS (to_tsvector('words', title)) STORED
) USING pile;
CREATE TABLE app.more (note text) INHERITS (books);
CREATE MATERIALIZED VIEW large USING pile AS SELECT id FROM books;
CREATE INDEX books_size ON books (size app.by_number);
CREATE UNIQUE INDEX books_title ON books (title);
ALTER TABLE books CLUSTER ON books_pkey;
ALTER TABLE books REPLICA IDENTITY USING INDEX books_title;
CREATE STATISTICS books_stat ON id, title FROM books;
COMMENT ON STATISTICS books_stat IS 'they depend';
CREATE TABLE logs (at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, update');
CREATE PUBLICATION news FOR TABLE ONLY books, logs WITH (publish_via_partition_root);
CREATE PUBLICATION nothing;
COMMENT ON PUBLICATION news IS 'for readers';
CREATE FUNCTION app.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP POLICY', 'CREATE POLICY') EXECUTE FUNCTION app.seen();
CREATE EVENT TRIGGER "Quiet" ON sql_drop EXECUTE FUNCTION app.seen();
ALTER EVENT TRIGGER "Quiet" DISABLE;
COMMENT ON EVENT TRIGGER watch IS 'who comes and goes';
