-- The schema of shop, made by dataops schema dump from its history up to 007. Do not edit it.

SET LOCAL check_function_bodies = off;

CREATE SCHEMA app;

CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler;

CREATE ACCESS METHOD tree TYPE INDEX HANDLER bthandler;

CREATE TYPE app.size AS (number integer);

CREATE COLLATION german (PROVIDER = libc, LOCALE = 'C');

CREATE TYPE pair AS (one integer, two text);

CREATE FUNCTION above(app.size, app.size)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).number > ($2).number$function$;

CREATE FUNCTION app.differ(pair, pair)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).one <> ($2).one$function$;

CREATE FUNCTION app.same(pair, pair)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).one = ($2).one$function$;

CREATE FUNCTION app.seen()
 RETURNS event_trigger
 LANGUAGE plpgsql
AS $function$BEGIN END$function$;

CREATE FUNCTION below(app.size, app.size)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).number < ($2).number$function$;

CREATE FUNCTION below(app.size, integer)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).number < $2$function$;

CREATE FUNCTION handler()
 RETURNS language_handler
 LANGUAGE c
AS '$libdir/plpgsql', $function$plpgsql_call_handler$function$;

CREATE TRUSTED LANGUAGE other HANDLER handler VALIDATOR plpgsql_validator;

CREATE FUNCTION negated(app.size)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT -($1).number$function$;

CREATE FUNCTION paired(integer)
 RETURNS pair
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1, NULL)::pair$function$;

CREATE FUNCTION ranked(app.size, app.size)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).number - ($2).number$function$;

CREATE FUNCTION ranked(app.size, integer)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$SELECT ($1).number - $2$function$;

CREATE FUNCTION said(text)
 RETURNS text
 LANGUAGE other
AS $function$BEGIN RETURN $1; END$function$;

CREATE OPERATOR !# (FUNCTION = negated, RIGHTARG = app.size);

CREATE OPERATOR !== (FUNCTION = app.differ, LEFTARG = pair, RIGHTARG = pair, COMMUTATOR = !==, NEGATOR = ===);

CREATE CAST (app.size AS integer) WITH FUNCTION negated(app.size) AS IMPLICIT;

CREATE CAST (integer AS pair) WITH FUNCTION paired(integer) AS ASSIGNMENT;

CREATE CAST (pair AS text) WITH INOUT;

CREATE OPERATOR === (FUNCTION = app.same, LEFTARG = pair, RIGHTARG = pair, COMMUTATOR = ===, NEGATOR = !==, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);

CREATE OPERATOR app.<# (FUNCTION = below, LEFTARG = app.size, RIGHTARG = app.size, COMMUTATOR = OPERATOR(app.>#));

CREATE OPERATOR app.<# (FUNCTION = below, LEFTARG = app.size, RIGHTARG = integer);

CREATE OPERATOR app.># (FUNCTION = above, LEFTARG = app.size, RIGHTARG = app.size, COMMUTATOR = OPERATOR(app.<#));

CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;

CREATE OPERATOR FAMILY app.sizes USING btree;

ALTER OPERATOR FAMILY app.sizes USING btree ADD OPERATOR 1 app.<#(app.size,integer), FUNCTION 1 (app.size, integer) ranked(app.size,integer);

CREATE OPERATOR CLASS app.by_number FOR TYPE app.size USING btree FAMILY app.sizes AS OPERATOR 1 app.<#(app.size,app.size), OPERATOR 5 app.>#(app.size,app.size), FUNCTION 1 (app.size, app.size) ranked(app.size,app.size);

CREATE OPERATOR FAMILY other_ints USING btree;

CREATE OPERATOR CLASS other_ints FOR TYPE integer USING btree FAMILY other_ints AS OPERATOR 1 <(integer,integer), OPERATOR 2 <=(integer,integer), OPERATOR 3 =(integer,integer), OPERATOR 4 >=(integer,integer), OPERATOR 5 >(integer,integer), FUNCTION 1 (integer, integer) btint4cmp(integer,integer);

CREATE TEXT SEARCH TEMPLATE app.plain (INIT = dsimple_init, LEXIZE = dsimple_lexize);

CREATE TEXT SEARCH DICTIONARY app."Its own" (TEMPLATE = app.plain);

CREATE TEXT SEARCH PARSER app.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, HEADLINE = prsd_headline, LEXTYPES = prsd_lextype);

CREATE TEXT SEARCH CONFIGURATION app.words (PARSER = app.words);

CREATE TEXT SEARCH DICTIONARY stop (TEMPLATE = simple, stopwords = 'english', accept = 'false');

CREATE TEXT SEARCH CONFIGURATION words (PARSER = "default");

ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR asciihword, hword, hword_asciipart, hword_part, word WITH english_stem;

ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR email, file, "float", host, hword_numpart, "int", numhword, numword, sfloat, uint, url, url_path, version WITH simple;

ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR asciiword WITH stop, app."Its own", english_stem;

CREATE TABLE books (
    id integer NOT NULL,
    title text NOT NULL,
    of pair,
    size app.size,
    found tsvector GENERATED ALWAYS AS (to_tsvector('words'::regconfig, title)) STORED
) USING pile;

CREATE TABLE app.more (
    note text
) INHERITS (books);

CREATE TABLE logs (
    at date NOT NULL
) PARTITION BY RANGE (at);

CREATE TABLE logs_rest PARTITION OF logs DEFAULT;

ALTER TABLE books ADD CONSTRAINT books_pkey PRIMARY KEY (id);

CREATE INDEX books_size ON books USING btree (size app.by_number);

CREATE UNIQUE INDEX books_title ON books USING btree (title);

CREATE STATISTICS books_stat ON id, title FROM books;

CREATE MATERIALIZED VIEW large USING pile AS
 SELECT id
   FROM books;

ALTER TABLE ONLY books REPLICA IDENTITY USING INDEX books_title;

ALTER TABLE books CLUSTER ON books_pkey;

COMMENT ON CAST (integer AS pair) IS 'the first of two';

COMMENT ON OPERATOR === (pair, pair) IS 'the same number';

COMMENT ON OPERATOR CLASS app.by_number USING btree IS 'by their numbers';

COMMENT ON CONVERSION app.latin IS 'as usual';

COMMENT ON TEXT SEARCH TEMPLATE app.plain IS 'as simple';

COMMENT ON OPERATOR FAMILY app.sizes USING btree IS 'sizes';

COMMENT ON TEXT SEARCH PARSER app.words IS 'as usual';

COMMENT ON STATISTICS books_stat IS 'they depend';

COMMENT ON COLLATION german IS 'not really';

COMMENT ON LANGUAGE other IS 'as plpgsql';

COMMENT ON ACCESS METHOD pile IS 'as heap';

COMMENT ON TEXT SEARCH DICTIONARY stop IS 'without these';

COMMENT ON TEXT SEARCH CONFIGURATION words IS 'for titles';

CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, update');

CREATE PUBLICATION news FOR TABLE ONLY books, logs WITH (publish_via_partition_root = true);

COMMENT ON PUBLICATION news IS 'for readers';

CREATE PUBLICATION nothing;

CREATE EVENT TRIGGER "Quiet" ON sql_drop EXECUTE FUNCTION app.seen();

ALTER EVENT TRIGGER "Quiet" DISABLE;

CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE POLICY', 'DROP POLICY') EXECUTE FUNCTION app.seen();

COMMENT ON EVENT TRIGGER watch IS 'who comes and goes';
