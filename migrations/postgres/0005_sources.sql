-- Who may send: sources with their write keys, and admin tokens.
--
-- Of a secret only its SHA-256 is stored, so neither a dump, nor a replica, nor
-- track_reader can tell it.  A plain hash is enough: the secret is 256 random
-- bits, not a password that somebody could guess.  track_create_key() and
-- track_create_token() make a secret and return it, that once; their statements
-- hold no secret that log_statement or pg_stat_statements would keep, which an
-- INSERT with sha256('...') of one's own does.
--
-- A browser's write key is public by nature: every visitor can read it in the
-- page.  It tells sources apart and limits what may be sent with it; it does not
-- prove who sends.  docs/KEYS.md says more.
--
-- All of it is enforced by nginx within milliseconds of COMMIT, as event types
-- are: the same version counts it.

CREATE TABLE IF NOT EXISTS public.sources (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                 text COLLATE "C" NOT NULL UNIQUE,
    enabled              boolean NOT NULL DEFAULT true,
    allowed_origins      text[] COLLATE "C",
    allowed_event_types  text[] COLLATE "C",
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.source_keys (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source_id   uuid NOT NULL REFERENCES public.sources (id) ON DELETE CASCADE,
    key_hash    bytea NOT NULL UNIQUE,
    label       text,
    enabled     boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS source_keys_source_id_idx
    ON public.source_keys (source_id);

CREATE TABLE IF NOT EXISTS public.admin_tokens (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text COLLATE "C" NOT NULL UNIQUE,
    token_hash  bytea NOT NULL UNIQUE,
    scopes      text[] COLLATE "C" NOT NULL,
    enabled     boolean NOT NULL DEFAULT true,
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);


-- What is wrong with a name of a source or a token; never returns.

CREATE OR REPLACE FUNCTION public.track_refuse_name(of text, name text)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    what    text := CASE of WHEN 'sources' THEN 'a source'
                            ELSE 'an admin token' END;
    reason  text;
    advice  text;
BEGIN
    IF name = '' THEN
        reason := format('the name of %s must not be empty', what);
        advice := 'Give it a name such as ''web''.';

    ELSIF octet_length(name) > 128 THEN
        reason := format('the name of %s, "%s...", has %s bytes, 128 are'
                         ' allowed', what, left(name, 40), octet_length(name));
        advice := 'Shorten it.';

    ELSIF name COLLATE "C" ~ '[\u0001-\u001F\u007F-\u009F]' THEN
        reason := format('the name of %s, %s, contains a control character',
                         what, to_json(name));
        advice := 'Remove tabs, line ends and other control characters.';

    ELSE
        reason := format('the name of %s, "%s", is not in Unicode'
                         ' normalization form NFC', what, name);
        advice := format('Write it as normalize(%L, NFC).', name);
    END IF;

    RAISE check_violation USING MESSAGE = reason, HINT = advice,
        TABLE = of, COLUMN = 'name', CONSTRAINT = of || '_name_check';
END
$$;


-- What is stored instead of a hash may be the secret itself: it is not repeated.

CREATE OR REPLACE FUNCTION public.track_refuse_hash(of text, hash bytea)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    what  text := CASE of WHEN 'source_keys' THEN 'key' ELSE 'token' END;
BEGIN
    RAISE check_violation USING
        MESSAGE = format('%s_hash has %s bytes, a SHA-256 has 32', what,
                         octet_length(hash)),
        HINT = format('SELECT track_create_%s(...) makes a %s and stores its'
                      ' hash; for one that exists, store sha256(''...'').',
                      what, what),
        TABLE = of, COLUMN = what || '_hash',
        CONSTRAINT = of || '_hash_check';
END
$$;


-- true, or raises what is wrong with one of them.  The same grammar as that of
-- the directive track_cors (lib/trk_origin.c).

CREATE OR REPLACE FUNCTION public.track_check_origins(origins text[])
RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    origin  text;
    host    text;
    advice  text;
BEGIN
    IF cardinality(origins) = 0 OR array_ndims(origins) > 1 THEN
        RAISE check_violation USING
            MESSAGE = 'allowed_origins must be a list of at least one origin',
            HINT = 'NULL allows every origin that track_cors allows; to allow'
                   ' none, set enabled = false.',
            TABLE = 'sources', COLUMN = 'allowed_origins',
            CONSTRAINT = 'sources_allowed_origins_check';
    END IF;

    FOREACH origin IN ARRAY origins LOOP
        CONTINUE WHEN origin IN ('*', 'null');

        host := substring(origin COLLATE "C"
                    FROM '^[A-Za-z][A-Za-z0-9+.-]{0,31}://(.*?)(?::\d{1,5})?$');

        CONTINUE WHEN
            coalesce(substring(origin FROM ':(\d{1,5})$')::int, 0) <= 65535
            AND CASE
                WHEN host COLLATE "C" ~ '^\[[0-9A-Fa-f:.]{2,45}\]$'
                THEN public.track_is_ipv6(btrim(host, '[]'))
                ELSE octet_length(regexp_replace(host, '^\*\.', '')) <= 253
                     AND host COLLATE "C" ~
                         '^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$'
                END;

        advice := CASE
            WHEN origin IS NULL
                THEN 'For the origin "null" of sandboxed frames and files, write'
                     ' it in quotes: ''{"null"}''.'
            WHEN origin = ''
                THEN 'Leave it out.'
            WHEN origin !~ '://'
                THEN format('Begin it with its scheme: ''https://%s''.',
                            left(origin, 80))
            WHEN origin ~ '://[^/?#]+[/?#]'
                THEN format('An origin ends with its host or port: ''%s''.',
                            substring(origin FROM '^[^/]*//[^/?#]+'))
            WHEN origin ~ '[^\u0001-\u007F]'
                THEN 'Write the host as browsers send it, in punycode'
                     ' (xn--...).'
            WHEN position('*' in origin) > 0
                THEN 'A star stands for whole labels at the front:'
                     ' ''https://*.example.com''.'
            ELSE 'There are: ''https://example.com'','
                 ' ''http://localhost:8080'', ''https://*.example.com'','
                 ' ''null'', ''*''.'
        END;

        RAISE check_violation USING
            MESSAGE = format('"%s" is not an origin',
                             left(coalesce(origin, 'NULL'), 80)),
            HINT = advice,
            TABLE = 'sources', COLUMN = 'allowed_origins',
            CONSTRAINT = 'sources_allowed_origins_check';
    END LOOP;

    RETURN true;
END
$$;


CREATE OR REPLACE FUNCTION public.track_is_ipv6(address text)
RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN family(address::inet) = 6;
EXCEPTION
    WHEN invalid_text_representation THEN
        RETURN false;
END
$$;


CREATE OR REPLACE FUNCTION public.track_check_allowed_event_types(names text[])
RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name  text;
BEGIN
    IF cardinality(names) = 0 OR array_ndims(names) > 1 THEN
        RAISE check_violation USING
            MESSAGE = 'allowed_event_types must be a list of at least one name',
            HINT = 'NULL allows all event types; to allow none, set'
                   ' enabled = false.',
            TABLE = 'sources', COLUMN = 'allowed_event_types',
            CONSTRAINT = 'sources_allowed_event_types_check';
    END IF;

    FOREACH name IN ARRAY names LOOP
        CONTINUE WHEN octet_length(name) BETWEEN 1 AND 128
                      AND name COLLATE "C" !~ '[\u0001-\u001F\u007F-\u009F]'
                      AND name IS NFC NORMALIZED;

        RAISE check_violation USING
            MESSAGE = format('%s cannot be the name of an event type',
                             left(coalesce(to_json(name)::text, 'NULL'), 80)),
            HINT = 'Write it as in event_types.name.',
            TABLE = 'sources', COLUMN = 'allowed_event_types',
            CONSTRAINT = 'sources_allowed_event_types_check';
    END LOOP;

    RETURN true;
END
$$;


CREATE OR REPLACE FUNCTION public.track_check_scopes(scopes text[])
RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(scopes) > 0 AND scopes <@ ARRAY['live'] THEN
        RETURN true;
    END IF;

    RAISE check_violation USING
        MESSAGE = format('%s is not a list of scopes', left(scopes::text, 80)),
        HINT = 'There is one scope: ''{live}'', to read track_live.',
        TABLE = 'admin_tokens', COLUMN = 'scopes',
        CONSTRAINT = 'admin_tokens_scopes_check';
END
$$;


-- As for event types: CASE, so that only a wrong row pays for the reason.

ALTER TABLE public.sources
    DROP CONSTRAINT IF EXISTS sources_name_check,
    ADD CONSTRAINT sources_name_check CHECK (
        CASE WHEN octet_length(name) BETWEEN 1 AND 128
                  AND name COLLATE "C" !~ '[\u0001-\u001F\u007F-\u009F]'
                  AND name IS NFC NORMALIZED
             THEN true ELSE public.track_refuse_name('sources', name) END),
    DROP CONSTRAINT IF EXISTS sources_allowed_origins_check,
    ADD CONSTRAINT sources_allowed_origins_check CHECK (
        allowed_origins IS NULL
        OR public.track_check_origins(allowed_origins)),
    DROP CONSTRAINT IF EXISTS sources_allowed_event_types_check,
    ADD CONSTRAINT sources_allowed_event_types_check CHECK (
        allowed_event_types IS NULL
        OR public.track_check_allowed_event_types(allowed_event_types));

ALTER TABLE public.source_keys
    DROP CONSTRAINT IF EXISTS source_keys_hash_check,
    ADD CONSTRAINT source_keys_hash_check CHECK (
        CASE WHEN octet_length(key_hash) = 32
             THEN true
             ELSE public.track_refuse_hash('source_keys', key_hash) END);

ALTER TABLE public.admin_tokens
    DROP CONSTRAINT IF EXISTS admin_tokens_name_check,
    ADD CONSTRAINT admin_tokens_name_check CHECK (
        CASE WHEN octet_length(name) BETWEEN 1 AND 128
                  AND name COLLATE "C" !~ '[\u0001-\u001F\u007F-\u009F]'
                  AND name IS NFC NORMALIZED
             THEN true ELSE public.track_refuse_name('admin_tokens', name) END),
    DROP CONSTRAINT IF EXISTS admin_tokens_hash_check,
    ADD CONSTRAINT admin_tokens_hash_check CHECK (
        CASE WHEN octet_length(token_hash) = 32
             THEN true
             ELSE public.track_refuse_hash('admin_tokens', token_hash) END),
    DROP CONSTRAINT IF EXISTS admin_tokens_scopes_check,
    ADD CONSTRAINT admin_tokens_scopes_check CHECK (
        public.track_check_scopes(scopes));


-- An event type may be defined after the source that sends it, so a name that is
-- not defined is stored, and told.  Definer: who may write sources need not be
-- able to read event_types.

CREATE OR REPLACE FUNCTION public.track_warn_allowed_event_types()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    missing  text[];
BEGIN
    SELECT array_agg(DISTINCT n) INTO missing
      FROM changed c, unnest(c.allowed_event_types) AS n
     WHERE NOT EXISTS (SELECT FROM event_types t WHERE t.name = n);

    IF missing IS NOT NULL THEN
        RAISE WARNING 'allowed_event_types has % not defined: %',
            CASE cardinality(missing) WHEN 1 THEN 'a name that is'
                                      ELSE 'names that are' END,
            array_to_string(missing[1:5], ', ')
            || CASE WHEN cardinality(missing) > 5 THEN ', ...' ELSE '' END
        USING HINT = 'It has no effect until event_types has it.';
    END IF;

    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER sources_warn_inserted
    AFTER INSERT ON public.sources
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_warn_allowed_event_types();

CREATE OR REPLACE TRIGGER sources_warn_updated
    AFTER UPDATE ON public.sources
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_warn_allowed_event_types();

CREATE OR REPLACE TRIGGER sources_touch
    BEFORE UPDATE ON public.sources
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION public.track_touch();

CREATE OR REPLACE TRIGGER sources_count_version
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.sources
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_count_version();

CREATE OR REPLACE TRIGGER source_keys_count_version
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.source_keys
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_count_version();

CREATE OR REPLACE TRIGGER admin_tokens_count_version
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.admin_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION public.track_count_version();


-- 64 hex digits, 256 bits: the SHA-256 of three random UUIDs.  gen_random_uuid()
-- takes 122 bits of each from the operating system's or OpenSSL's generator for
-- cryptography (pg_strong_random); random() would be predictable, and pgcrypto's
-- gen_random_bytes() is an extension that not every server has.

CREATE OR REPLACE FUNCTION public.track_secret()
RETURNS text LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(uuid_send(gen_random_uuid())
                         || uuid_send(gen_random_uuid())
                         || uuid_send(gen_random_uuid())), 'hex')
$$;


-- The functions below run with the rights of who calls them: who may write the
-- table may make a key.  Hashes are made before the INSERT, so that no nested
-- statement that a server logs has the secret.

CREATE OR REPLACE FUNCTION public.track_create_key(
    source_name text, key_label text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    secret  text := 'wk_' || track_secret();
    hash    bytea := sha256(convert_to(secret, 'UTF8'));
BEGIN
    INSERT INTO source_keys (source_id, key_hash, label)
    SELECT s.id, hash, key_label FROM sources s WHERE s.name = source_name;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no source "%s"', left(source_name, 80)),
            HINT = format('INSERT INTO sources (name) VALUES (%L);',
                          left(source_name, 80));
    END IF;

    RETURN secret;
END
$$;


CREATE OR REPLACE FUNCTION public.track_revoke_key(key text)
RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    hash   bytea := sha256(convert_to(key, 'UTF8'));
    owner  text;
BEGIN
    UPDATE source_keys k SET enabled = false FROM sources s
     WHERE s.id = k.source_id
       AND (k.key_hash = hash OR k.id::text = lower(track_revoke_key.key))
    RETURNING s.name INTO owner;

    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = 'there is no such key',
            HINT = 'Give the key itself (wk_...) or its id in source_keys.';
    END IF;

    RETURN owner;
END
$$;


CREATE OR REPLACE FUNCTION public.track_create_token(
    token_name text, token_scopes text[], token_expires_at timestamptz
    DEFAULT NULL)
RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    secret  text := 'at_' || track_secret();
    hash    bytea := sha256(convert_to(secret, 'UTF8'));
BEGIN
    INSERT INTO admin_tokens (name, token_hash, scopes, expires_at)
    VALUES (token_name, hash, token_scopes, token_expires_at);

    RETURN secret;
END
$$;


-- nginx reads what it enforces, no more; the loader nothing of all this.

GRANT SELECT (id, name, enabled, allowed_origins, allowed_event_types)
    ON public.sources TO track_reader;
GRANT SELECT (source_id, key_hash, enabled)
    ON public.source_keys TO track_reader;
GRANT SELECT (token_hash, scopes, enabled, expires_at)
    ON public.admin_tokens TO track_reader;


COMMENT ON TABLE public.sources IS
    'Who sends events: a site, an app, a server. Enforced by nginx locations'
    ' with track_key, within milliseconds of COMMIT.';
COMMENT ON COLUMN public.sources.id IS
    'Set by the database.';
COMMENT ON COLUMN public.sources.name IS
    'Goes into each record as "source". UTF-8 in form NFC, 1 to 128 bytes, no'
    ' control characters.';
COMMENT ON COLUMN public.sources.enabled IS
    'false: its keys are unknown to nginx.';
COMMENT ON COLUMN public.sources.allowed_origins IS
    'Pages that may send with its keys, in addition to what track_cors says:'
    ' ''https://example.com'', ''http://localhost:8080'','
    ' ''https://*.example.com'' (any depth, not example.com), ''null'', ''*''.'
    ' NULL: all.';
COMMENT ON COLUMN public.sources.allowed_event_types IS
    'Names of event types that its keys may send, others are refused with'
    ' event_type_not_allowed. By name: rename it here, too. A name that is not'
    ' defined (yet) has no effect. NULL: all.';
COMMENT ON COLUMN public.sources.created_at IS
    'When the row was inserted.';
COMMENT ON COLUMN public.sources.updated_at IS
    'When the row was last changed; set by trigger.';

COMMENT ON TABLE public.source_keys IS
    'Write keys of sources, hashed. Make one: SELECT'
    ' track_create_key(''web'', ''shop front''); revoke it: SELECT'
    ' track_revoke_key(id or key). A key in a web page is public: it'
    ' identifies and limits, it does not protect.';
COMMENT ON COLUMN public.source_keys.id IS
    'Set by the database.';
COMMENT ON COLUMN public.source_keys.source_id IS
    'The source that sends with it; deleting the source deletes it.';
COMMENT ON COLUMN public.source_keys.key_hash IS
    'SHA-256 of the whole key as it is sent, "wk_" included.';
COMMENT ON COLUMN public.source_keys.label IS
    'For people: where the key is used.';
COMMENT ON COLUMN public.source_keys.enabled IS
    'false: revoked. The row stays, so that one can see what there was.';
COMMENT ON COLUMN public.source_keys.created_at IS
    'When the row was inserted.';

COMMENT ON TABLE public.admin_tokens IS
    'Bearer tokens of operators and programs, hashed. Make one: SELECT'
    ' track_create_token(''ops'', ''{live}''); revoke it by enabled = false or'
    ' DELETE. A token is a secret: it never belongs into a page or an address.';
COMMENT ON COLUMN public.admin_tokens.id IS
    'Set by the database.';
COMMENT ON COLUMN public.admin_tokens.name IS
    'Who has it. UTF-8 in form NFC, 1 to 128 bytes, no control characters.';
COMMENT ON COLUMN public.admin_tokens.token_hash IS
    'SHA-256 of the whole token as it is sent, "at_" included.';
COMMENT ON COLUMN public.admin_tokens.scopes IS
    'What it may do: live, read nginx''s track_live.';
COMMENT ON COLUMN public.admin_tokens.enabled IS
    'false: revoked.';
COMMENT ON COLUMN public.admin_tokens.expires_at IS
    'Not accepted from then on. NULL: never expires.';
COMMENT ON COLUMN public.admin_tokens.created_at IS
    'When the row was inserted.';

COMMENT ON FUNCTION public.track_refuse_name(text, text) IS
    'Raises the reason why a name of a source or an admin token is refused.';
COMMENT ON FUNCTION public.track_refuse_hash(text, bytea) IS
    'Raises the reason why a key_hash or token_hash is refused.';
COMMENT ON FUNCTION public.track_check_origins(text[]) IS
    'true, or raises the reason why sources.allowed_origins is refused.';
COMMENT ON FUNCTION public.track_is_ipv6(text) IS
    'Whether the text is an IPv6 address.';
COMMENT ON FUNCTION public.track_check_allowed_event_types(text[]) IS
    'true, or raises the reason why sources.allowed_event_types is refused.';
COMMENT ON FUNCTION public.track_check_scopes(text[]) IS
    'true, or raises the reason why admin_tokens.scopes is refused.';
COMMENT ON FUNCTION public.track_warn_allowed_event_types() IS
    'Trigger: warns of allowed event types that are not defined.';
COMMENT ON FUNCTION public.track_secret() IS
    '64 hex digits, unpredictable: a new secret.';
COMMENT ON FUNCTION public.track_create_key(text, text) IS
    'Makes a write key for the source of that name and returns it. It cannot be'
    ' shown again: only its hash is stored.';
COMMENT ON FUNCTION public.track_revoke_key(text) IS
    'Revokes the write key given by itself or by its id, at once in every'
    ' nginx; returns the name of its source.';
COMMENT ON FUNCTION public.track_create_token(text, text[], timestamptz) IS
    'Makes an admin token and returns it. It cannot be shown again: only its'
    ' hash is stored.';
