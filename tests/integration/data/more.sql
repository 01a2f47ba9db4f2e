-- What versions of PostgreSQL write in different words, and what is only in the catalogue.
CREATE SCHEMA more;
CREATE TABLE more.things (
    id bigserial PRIMARY KEY,
    number int GENERATED ALWAYS AS IDENTITY (INCREMENT BY 5 CYCLE),
    name varchar(20) NOT NULL,
    state varchar(9) CHECK (state IN ('a', 'b')),
    body text
);
ALTER TABLE more.things ALTER body SET STORAGE EXTERNAL, ALTER body SET STATISTICS 300;
ALTER TABLE more.things SET (fillfactor = 70, autovacuum_enabled = false);
ALTER TABLE more.things REPLICA IDENTITY FULL;
CREATE INDEX things_name ON more.things (lower(name)) WITH (fillfactor = 50);
CREATE VIEW more.named AS SELECT things.id, things.name FROM more.things
    WHERE EXISTS (SELECT 1 FROM more.things o WHERE o.id = things.number) ORDER BY things.name LIMIT 3;
CREATE VIEW more.renamed AS SELECT t.id AS "the.id", count(*) FROM more.things t GROUP BY t.id HAVING count(*) > 1;
CREATE VIEW more.united AS SELECT id FROM more.things UNION SELECT number FROM more.things;
CREATE VIEW more.together WITH (security_barrier) AS
    WITH w AS (SELECT id FROM more.things) SELECT w.id FROM w WHERE w.id > (SELECT min(x.number) FROM more.things x);
CREATE FUNCTION more.grow(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE AGGREGATE more.total(int) (SFUNC = more.grow, STYPE = bigint, INITCOND = '0', COMBINEFUNC = int8pl);
CREATE RULE kept AS ON DELETE TO more.things WHERE old.id = 1 DO INSTEAD NOTHING;
ALTER TABLE more.things DISABLE RULE kept;
CREATE TEXT SEARCH CONFIGURATION more.words (COPY = simple);
CREATE PUBLICATION news FOR TABLE more.things;
CREATE STATISTICS more.both ON name, state FROM more.things;
