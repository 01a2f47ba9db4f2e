--
-- PostgreSQL database dump
--

\restrict 0Olg8rQ9TuuVOfnxn6jfRoHagR2Ihdz4geLBbWXB53ws9rJAjidNINX5gThXV74

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: Odd Name; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA "Odd Name";


--
-- Name: billing; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA billing;


--
-- Name: SCHEMA billing; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA billing IS 'b';


--
-- Name: german; Type: COLLATION; Schema: public; Owner: -
--

CREATE COLLATION public.german (provider = libc, locale = 'C');


--
-- Name: btree_gist; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;


--
-- Name: EXTENSION btree_gist; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION btree_gist IS 'support for indexing common datatypes in GiST';


--
-- Name: address; Type: TYPE; Schema: billing; Owner: -
--

CREATE TYPE billing.address AS (
	street text COLLATE pg_catalog."C",
	zip character varying(10)
);


--
-- Name: email; Type: DOMAIN; Schema: public; Owner: -
--

CREATE DOMAIN public.email AS text COLLATE pg_catalog."C" NOT NULL DEFAULT 'a@b'::text
	CONSTRAINT at CHECK ((VALUE ~ '@'::text));


--
-- Name: DOMAIN email; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON DOMAIN public.email IS 'e';


--
-- Name: span; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.span AS RANGE (
    subtype = double precision,
    multirange_type_name = public.span_multirange,
    subtype_diff = float8mi
);


--
-- Name: status; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.status AS ENUM (
    'new',
    'pa''id',
    'shipped'
);


--
-- Name: TYPE status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TYPE public.status IS 'st';


--
-- Name: twice(integer); Type: FUNCTION; Schema: billing; Owner: -
--

CREATE FUNCTION billing.twice(integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $_$SELECT 2 * $1$_$;


--
-- Name: atomic_f(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.atomic_f(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (x + 1);
END;


--
-- Name: fix(integer); Type: PROCEDURE; Schema: public; Owner: -
--

CREATE PROCEDURE public.fix(INOUT n integer)
    LANGUAGE plpgsql
    AS $$ BEGIN n := n + 1; END $$;


--
-- Name: next_no(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.next_no() RETURNS integer
    LANGUAGE sql
    AS $$ SELECT nextval('order_no')::int $$;


--
-- Name: FUNCTION next_no(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.next_no() IS 'no';


SET default_tablespace = '';

--
-- Name: orders; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders (
    id bigint NOT NULL,
    no integer DEFAULT public.next_no(),
    customer integer,
    currency character(3) NOT NULL,
    state public.status DEFAULT 'new'::public.status,
    at date NOT NULL,
    during tstzrange,
    total numeric,
    CONSTRAINT orders_total_check CHECK ((total > (0)::numeric))
)
PARTITION BY RANGE (at);


--
-- Name: paid; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.paid AS
 SELECT orders.id,
    orders.total
   FROM public.orders
  WHERE (orders.state = 'pa''id'::public.status);


--
-- Name: VIEW paid; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON VIEW public.paid IS 'v';


--
-- Name: paid_rows(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.paid_rows() RETURNS SETOF public.paid
    LANGUAGE sql STABLE
    AS $$SELECT * FROM paid$$;


--
-- Name: positive(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.positive(integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$SELECT $1 > 0$_$;


--
-- Name: touch(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN NEW.updated := now(); RETURN NEW; END $$;


--
-- Name: addup(integer); Type: AGGREGATE; Schema: public; Owner: -
--

CREATE AGGREGATE public.addup(integer) (
    SFUNC = int4pl,
    STYPE = integer,
    INITCOND = '0'
);


SET default_table_access_method = heap;

--
-- Name: Odd "Table; Type: TABLE; Schema: Odd Name; Owner: -
--

CREATE TABLE "Odd Name"."Odd ""Table" (
    "a b" integer DEFAULT 1,
    b character varying(3) COLLATE pg_catalog."POSIX"
);


--
-- Name: rooms; Type: TABLE; Schema: billing; Owner: -
--

CREATE TABLE billing.rooms (
    room integer,
    during tstzrange
);


--
-- Name: base_t; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.base_t (
    a integer,
    b integer,
    CONSTRAINT base_t_a_check CHECK ((a > 0))
);


--
-- Name: cache; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.cache (
    k text NOT NULL,
    v jsonb DEFAULT '{"a": 1}'::jsonb
);
ALTER TABLE ONLY public.cache ALTER COLUMN v SET STATISTICS 200;
ALTER TABLE ONLY public.cache ALTER COLUMN v SET STORAGE EXTERNAL;


--
-- Name: checked; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.checked (
    n integer DEFAULT public.next_no(),
    CONSTRAINT checked_n_check CHECK (public.positive(n))
);


--
-- Name: child_t; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.child_t (
    c integer
)
INHERITS (public.base_t);


--
-- Name: currencies; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.currencies (
    code character(3) NOT NULL,
    digits integer DEFAULT 2 NOT NULL,
    note text,
    rate double precision
);


--
-- Name: customers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.customers (
    id integer NOT NULL,
    mail public.email,
    name text NOT NULL COLLATE pg_catalog."C",
    "Odd Col" numeric(10,2) DEFAULT 0.5,
    full_name text GENERATED ALWAYS AS (upper(name)) STORED,
    addr billing.address,
    updated timestamp with time zone DEFAULT now(),
    tags text[] DEFAULT '{}'::text[]
)
WITH (fillfactor='70');

ALTER TABLE ONLY public.customers FORCE ROW LEVEL SECURITY;


--
-- Name: TABLE customers; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.customers IS 'People: it''s them';


--
-- Name: COLUMN customers.name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.customers.name IS 'their name';


--
-- Name: customers_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.customers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.customers_id_seq
    START WITH 10
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: dropped; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.dropped (
    a integer,
    b integer NOT NULL,
    c text
);


--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    at timestamp(3) with time zone,
    body jsonb,
    n integer NOT NULL
);

ALTER TABLE ONLY public.events REPLICA IDENTITY FULL;


--
-- Name: events_numbers; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.events ALTER COLUMN n ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.events_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
    CYCLE
);


--
-- Name: named; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.named AS
 SELECT o.a,
    'see o.a'::text AS "it's",
    'it''s o.b'::text AS b,
    billing.twice(o.a) AS twice
   FROM public.dropped o
  WHERE (o.b > 1);


--
-- Name: paid_total; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.paid_total WITH (security_barrier='true') AS
 SELECT c.name,
    sum(o.total) AS total
   FROM ((public.paid p
     JOIN public.orders o USING (id))
     JOIN public.customers c ON ((c.id = o.customer)))
  GROUP BY c.name;


--
-- Name: on_a_view; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.on_a_view AS
 SELECT count(*) AS all_of_them
   FROM public.paid_total;


--
-- Name: order_no; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.order_no
    AS integer
    START WITH 1000
    INCREMENT BY 5
    NO MINVALUE
    MAXVALUE 99999
    CACHE 1
    CYCLE;


--
-- Name: orders_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.orders_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: orders_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.orders_id_seq OWNED BY public.orders.id;


--
-- Name: orders_2024; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders_2024 (
    id bigint DEFAULT nextval('public.orders_id_seq'::regclass) NOT NULL,
    no integer DEFAULT public.next_no(),
    customer integer,
    currency character(3) NOT NULL,
    state public.status DEFAULT 'new'::public.status,
    at date NOT NULL,
    during tstzrange,
    total numeric,
    CONSTRAINT orders_total_check CHECK ((total > (0)::numeric))
);


--
-- Name: orders_rest; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders_rest (
    id bigint DEFAULT nextval('public.orders_id_seq'::regclass) NOT NULL,
    no integer DEFAULT 7,
    customer integer,
    currency character(3) NOT NULL,
    state public.status DEFAULT 'new'::public.status,
    at date NOT NULL,
    during tstzrange,
    total numeric,
    CONSTRAINT orders_total_check CHECK ((total > (0)::numeric))
)
PARTITION BY RANGE (at);


--
-- Name: orders_rest_eur; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders_rest_eur (
    id bigint DEFAULT nextval('public.orders_id_seq'::regclass) NOT NULL,
    no integer DEFAULT 7,
    customer integer,
    currency character(3) NOT NULL,
    state public.status DEFAULT 'new'::public.status,
    at date NOT NULL,
    during tstzrange,
    total numeric,
    CONSTRAINT orders_total_check CHECK ((total > (0)::numeric))
);


--
-- Name: totals; Type: MATERIALIZED VIEW; Schema: public; Owner: -
--

CREATE MATERIALIZED VIEW public.totals AS
 SELECT count(*) AS n,
    orders.currency
   FROM public.orders
  GROUP BY orders.currency
  WITH NO DATA;


--
-- Name: tree; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tree (
    id integer NOT NULL,
    up integer,
    kind public.status
);


--
-- Name: orders_2024; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders ATTACH PARTITION public.orders_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');


--
-- Name: orders_rest; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders ATTACH PARTITION public.orders_rest DEFAULT;


--
-- Name: orders_rest_eur; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders_rest ATTACH PARTITION public.orders_rest_eur FOR VALUES FROM (MINVALUE) TO ('2024-01-01');


--
-- Name: orders id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.orders_id_seq'::regclass);


--
-- Data for Name: Odd "Table; Type: TABLE DATA; Schema: Odd Name; Owner: -
--



--
-- Data for Name: rooms; Type: TABLE DATA; Schema: billing; Owner: -
--



--
-- Data for Name: base_t; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: cache; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: checked; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.checked VALUES (5);


--
-- Data for Name: child_t; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: currencies; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.currencies VALUES ('EUR', 2, 'it''s \ a : "x"
line', 1.1);
INSERT INTO public.currencies VALUES ('USD', 2, NULL, 'NaN');


--
-- Data for Name: customers; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: dropped; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.events VALUES ('2024-02-03 02:05:06.789+00', '{"a": ["b:c", "%d"]}', 1);


--
-- Data for Name: orders_2024; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: orders_rest_eur; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: tree; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tree VALUES (2, NULL, 'shipped');
INSERT INTO public.tree VALUES (1, 2, NULL);


--
-- Name: customers_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.customers_id_seq', 10, false);


--
-- Name: events_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.events_numbers', 1, true);


--
-- Name: order_no; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.order_no', 1000, false);


--
-- Name: orders_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.orders_id_seq', 1, false);


--
-- Name: Odd "Table Odd "Table_a b_key; Type: CONSTRAINT; Schema: Odd Name; Owner: -
--

ALTER TABLE ONLY "Odd Name"."Odd ""Table"
    ADD CONSTRAINT "Odd ""Table_a b_key" UNIQUE ("a b") DEFERRABLE INITIALLY DEFERRED;


--
-- Name: rooms no_overlap; Type: CONSTRAINT; Schema: billing; Owner: -
--

ALTER TABLE ONLY billing.rooms
    ADD CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, during WITH &&);


--
-- Name: CONSTRAINT no_overlap ON rooms; Type: COMMENT; Schema: billing; Owner: -
--

COMMENT ON CONSTRAINT no_overlap ON billing.rooms IS 'x';


--
-- Name: cache cache_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.cache
    ADD CONSTRAINT cache_pkey PRIMARY KEY (k);


--
-- Name: checked checked_n_excl; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.checked
    ADD CONSTRAINT checked_n_excl EXCLUDE USING btree (n WITH =);


--
-- Name: currencies currencies_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.currencies
    ADD CONSTRAINT currencies_pkey PRIMARY KEY (code);


--
-- Name: customers customers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (id);


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id, at);


--
-- Name: orders_2024 orders_2024_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders_2024
    ADD CONSTRAINT orders_2024_pkey PRIMARY KEY (id, at);


--
-- Name: orders_rest orders_rest_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders_rest
    ADD CONSTRAINT orders_rest_pkey PRIMARY KEY (id, at);


--
-- Name: orders_rest_eur orders_rest_eur_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders_rest_eur
    ADD CONSTRAINT orders_rest_eur_pkey PRIMARY KEY (id, at);


--
-- Name: tree tree_kind_check; Type: CHECK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.tree
    ADD CONSTRAINT tree_kind_check CHECK ((kind <> 'new'::public.status)) NOT VALID;


--
-- Name: tree tree_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tree
    ADD CONSTRAINT tree_pkey PRIMARY KEY (id);


--
-- Name: rooms_lower; Type: INDEX; Schema: billing; Owner: -
--

CREATE UNIQUE INDEX rooms_lower ON billing.rooms USING btree (((room + 1))) INCLUDE (during);


--
-- Name: events_body_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX events_body_idx ON public.events USING gin (body jsonb_path_ops) WITH (fastupdate=off);


--
-- Name: orders_by_state; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_by_state ON ONLY public.orders USING btree (state, at DESC) WHERE (total > (10)::numeric);


--
-- Name: INDEX orders_by_state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.orders_by_state IS 'i';


--
-- Name: orders_2024_state_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_2024_state_at_idx ON public.orders_2024 USING btree (state, at DESC) WHERE (total > (10)::numeric);


--
-- Name: orders_rest_state_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_rest_state_at_idx ON ONLY public.orders_rest USING btree (state, at DESC) WHERE (total > (10)::numeric);


--
-- Name: orders_rest_eur_state_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_rest_eur_state_at_idx ON public.orders_rest_eur USING btree (state, at DESC) WHERE (total > (10)::numeric);


--
-- Name: totals_currency; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX totals_currency ON public.totals USING btree (currency);


--
-- Name: orders_2024_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_pkey ATTACH PARTITION public.orders_2024_pkey;


--
-- Name: orders_2024_state_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_by_state ATTACH PARTITION public.orders_2024_state_at_idx;


--
-- Name: orders_rest_eur_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_rest_pkey ATTACH PARTITION public.orders_rest_eur_pkey;


--
-- Name: orders_rest_eur_state_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_rest_state_at_idx ATTACH PARTITION public.orders_rest_eur_state_at_idx;


--
-- Name: orders_rest_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_pkey ATTACH PARTITION public.orders_rest_pkey;


--
-- Name: orders_rest_state_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.orders_by_state ATTACH PARTITION public.orders_rest_state_at_idx;


--
-- Name: cust_stats; Type: STATISTICS; Schema: public; Owner: -
--

CREATE STATISTICS public.cust_stats (dependencies) ON mail, name FROM public.customers;


--
-- Name: currencies log; Type: RULE; Schema: public; Owner: -
--

CREATE RULE log AS
    ON UPDATE TO public.currencies
   WHERE (new.digits > 9) DO  DELETE FROM public.checked
  WHERE (checked.n = 0);


--
-- Name: currencies no_delete; Type: RULE; Schema: public; Owner: -
--

CREATE RULE no_delete AS
    ON DELETE TO public.currencies DO INSTEAD NOTHING;


--
-- Name: tree later; Type: TRIGGER; Schema: public; Owner: -
--

CREATE CONSTRAINT TRIGGER later AFTER DELETE ON public.tree DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.touch();


--
-- Name: customers t_touch; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER t_touch BEFORE UPDATE ON public.customers FOR EACH ROW WHEN ((old.name IS DISTINCT FROM new.name)) EXECUTE FUNCTION public.touch();

ALTER TABLE public.customers DISABLE TRIGGER t_touch;


--
-- Name: TRIGGER t_touch ON customers; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TRIGGER t_touch ON public.customers IS 'tr';


--
-- Name: orders orders_currency_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.orders
    ADD CONSTRAINT orders_currency_fkey FOREIGN KEY (currency) REFERENCES public.currencies(code);


--
-- Name: orders orders_customer_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.orders
    ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES public.customers(id) ON DELETE CASCADE DEFERRABLE;


--
-- Name: tree tree_up_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tree
    ADD CONSTRAINT tree_up_fkey FOREIGN KEY (up) REFERENCES public.tree(id);


--
-- Name: customers; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.customers ENABLE ROW LEVEL SECURITY;

--
-- Name: customers ins; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY ins ON public.customers AS RESTRICTIVE FOR INSERT WITH CHECK (((id > 0) AND (name <> ''::text)));


--
-- Name: customers own; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY own ON public.customers FOR SELECT USING ((name = CURRENT_USER));


--
-- Name: POLICY own ON customers; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON POLICY own ON public.customers IS 'p';


--
-- Name: SCHEMA billing; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA billing TO PUBLIC;


--
-- Name: FUNCTION next_no(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.next_no() FROM PUBLIC;


--
-- Name: TABLE currencies; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.currencies TO PUBLIC;


--
-- Name: COLUMN customers.name; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(name) ON TABLE public.customers TO PUBLIC;


--
-- Name: totals; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: -
--

REFRESH MATERIALIZED VIEW public.totals;


--
-- PostgreSQL database dump complete
--

\unrestrict 0Olg8rQ9TuuVOfnxn6jfRoHagR2Ihdz4geLBbWXB53ws9rJAjidNINX5gThXV74

