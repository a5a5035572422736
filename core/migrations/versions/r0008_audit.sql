-- Texts beside the chain ----------------------------------------------------------------------------------
-- What somebody may want forgotten does not stand in a record, which can never change: the record holds
-- sha256(salt, newline, body), and the text lies here. The salt goes with the text, so that what is left in the
-- chain cannot be guessed back. `body` is canonical JSON.

CREATE TABLE factory.event_texts (
    run_id        text NOT NULL,
    seq           bigint NOT NULL,
    name          text NOT NULL,
    salt          text,            -- null with the body: all of it is forgotten
    body          text,
    forgotten_by  bigint,          -- the newest event text.forgotten of this run that says what is left of it
    PRIMARY KEY (run_id, seq, name),
    CHECK ((salt IS NULL) = (body IS NULL)),
    CHECK (body IS NOT NULL OR forgotten_by IS NOT NULL)
);

CREATE FUNCTION factory.text_digest(the_salt text, the_body text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
    SELECT encode(sha256(convert_to(the_salt || E'\n' || the_body, 'UTF8')), 'hex')
$$;

CREATE TRIGGER only_grows BEFORE DELETE OR TRUNCATE ON factory.event_texts
    FOR EACH STATEMENT EXECUTE FUNCTION factory.refuse();
ALTER TABLE factory.event_texts ENABLE ALWAYS TRIGGER only_grows;

-- A text changes in one way only: an event of its chain says so first, and names the digest of what is left.
CREATE FUNCTION factory.refuse_text() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF (NEW.run_id, NEW.seq, NEW.name) IS DISTINCT FROM (OLD.run_id, OLD.seq, OLD.name)
       OR NEW.forgotten_by IS NULL OR NEW.forgotten_by <= coalesce(OLD.forgotten_by, OLD.seq)
       OR NOT EXISTS (
           SELECT FROM factory.events e
           WHERE e.run_id = NEW.run_id AND e.seq = NEW.forgotten_by AND e.kind = 'text.forgotten'
             AND (NEW.body IS NULL OR strpos(e.record, factory.text_digest(NEW.salt, NEW.body)) > 0))
    THEN
        RAISE EXCEPTION 'text % of event % of run % is only forgotten through factory.forget_text',
            OLD.name, OLD.seq, OLD.run_id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_forgets BEFORE UPDATE ON factory.event_texts
    FOR EACH ROW EXECUTE FUNCTION factory.refuse_text();
ALTER TABLE factory.event_texts ENABLE ALWAYS TRIGGER only_forgets;

-- Imported runs -------------------------------------------------------------------------------------------
-- Their heads say so. append_event writes to no such run, and import_events to no other.

ALTER TABLE factory.run_heads ADD COLUMN imported_at timestamptz, ADD COLUMN imported_by text;

CREATE OR REPLACE FUNCTION factory.refuse_step() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.run_id <> OLD.run_id OR NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'the head of run % moves one event at a time', OLD.run_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.imported_at, NEW.imported_by) IS DISTINCT FROM (OLD.imported_at, OLD.imported_by) THEN
        RAISE EXCEPTION 'whether run % was imported is settled', OLD.run_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
-- Called only where there is something to refuse: an append does not pay for it.
DROP TRIGGER one_step ON factory.run_heads;
CREATE TRIGGER one_step BEFORE UPDATE ON factory.run_heads FOR EACH ROW
    WHEN (NEW.run_id IS DISTINCT FROM OLD.run_id OR NEW.seq IS DISTINCT FROM OLD.seq + 1
          OR NEW.imported_at IS DISTINCT FROM OLD.imported_at OR NEW.imported_by IS DISTINCT FROM OLD.imported_by)
    EXECUTE FUNCTION factory.refuse_step();
ALTER TABLE factory.run_heads ENABLE ALWAYS TRIGGER one_step;

CREATE OR REPLACE FUNCTION factory.append_event(
    the_run text, the_at timestamptz, the_kind text, the_team text, the_key text, the_record text
) RETURNS SETOF factory.events
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head factory.run_heads;
    event factory.events;
BEGIN
    LOOP
        SELECT * INTO head FROM factory.run_heads WHERE run_id = the_run FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO factory.run_heads (run_id, seq, hash) VALUES (the_run, 0, repeat('0', 64))
        ON CONFLICT DO NOTHING;
    END LOOP;
    IF head.imported_at IS NOT NULL THEN
        RAISE EXCEPTION 'run % was imported and is read-only', the_run USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF the_key IS NOT NULL THEN
        SELECT * INTO event FROM factory.events e WHERE e.run_id = the_run AND e.key = the_key;
        IF FOUND THEN
            RETURN NEXT event;
            RETURN;
        END IF;
    END IF;
    event := factory.write_event(head, the_at, the_kind, the_team, the_key, the_record);
    RETURN NEXT event;
END $$;

-- The next event of a chain whose head the caller has locked. For the functions here only, with their rights.
CREATE FUNCTION factory.write_event(
    head factory.run_heads, the_at timestamptz, the_kind text, the_team text, the_key text, the_record text
) RETURNS factory.events
LANGUAGE plpgsql AS $$
DECLARE
    event factory.events;
BEGIN
    event.run_id := head.run_id;
    event.seq := head.seq + 1;
    event.at := the_at;
    event.kind := the_kind;
    event.team := the_team;
    event.key := the_key;
    event.record := the_record;
    event.prev_hash := head.hash;
    event.hash := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
        head.hash || E'\n' || event.seq || E'\n' || the_record, 'UTF8')), 'hex');
    INSERT INTO factory.events VALUES (event.*);
    UPDATE factory.run_heads SET seq = event.seq, hash = event.hash WHERE run_id = head.run_id;
    PERFORM pg_catalog.pg_notify('factory_events', head.run_id || ':' || event.seq);
    RETURN event;
END $$;
REVOKE ALL ON FUNCTION factory.write_event FROM PUBLIC;

-- Append an event with its texts, all or nothing. Salts are drawn by chance, so that a record that is already
-- there under the same key is known for another one, whose texts are kept and these dropped.
CREATE FUNCTION factory.append_event_with_texts(
    the_run text, the_at timestamptz, the_kind text, the_team text, the_key text, the_record text,
    the_names text[], the_salts text[], the_bodies text[]
) RETURNS SETOF factory.events
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event factory.events;
BEGIN
    SELECT * INTO event
    FROM factory.append_event(the_run, the_at, the_kind, the_team, the_key, the_record);
    IF event.record = the_record THEN
        INSERT INTO factory.event_texts (run_id, seq, name, salt, body)
        SELECT the_run, event.seq, t.name, t.salt, t.body
        FROM unnest(the_names, the_salts, the_bodies) AS t (name, salt, body)
        WHERE strpos(the_record, factory.text_digest(t.salt, t.body)) > 0
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEXT event;
END $$;
REVOKE ALL ON FUNCTION factory.append_event_with_texts FROM PUBLIC;

-- Forget a text, or cut pieces out of it: the only way to change one. It can take away and nothing else; the
-- record (of an event text.forgotten, with a key) says of which text, why, and the digest of what is left.
-- Characters count from 1; each cut is [first, after the last). A null salt forgets all of it.
CREATE FUNCTION factory.forget_text(
    the_run text, the_seq bigint, the_name text, the_at timestamptz, the_key text, the_record text,
    the_salt text, the_firsts int[], the_lasts int[]
) RETURNS SETOF factory.events
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head factory.run_heads;
    event factory.events;
    old text;
    left_over text;
    place int := 1;
BEGIN
    SELECT * INTO head FROM factory.run_heads WHERE run_id = the_run FOR UPDATE;
    SELECT * INTO event FROM factory.events e WHERE e.run_id = the_run AND e.key = the_key;
    IF FOUND THEN
        RETURN NEXT event;
        RETURN;
    END IF;
    SELECT body INTO old FROM factory.event_texts
    WHERE run_id = the_run AND seq = the_seq AND name = the_name AND body IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF the_salt IS NOT NULL THEN
        left_over := '';
        FOR n IN 1 .. cardinality(the_firsts) LOOP
            IF the_firsts[n] < place OR the_lasts[n] <= the_firsts[n] THEN
                RAISE EXCEPTION 'cuts must be in order and not overlap' USING ERRCODE = 'data_exception';
            END IF;
            left_over := left_over || substring(old FROM place FOR the_firsts[n] - place) || '[forgotten]';
            place := the_lasts[n];
        END LOOP;
        left_over := left_over || substring(old FROM place);
        IF strpos(the_record, factory.text_digest(the_salt, left_over)) = 0 THEN
            RAISE EXCEPTION 'the record does not name what is left of the text' USING ERRCODE = 'data_exception';
        END IF;
    END IF;
    event := factory.write_event(head, the_at, 'text.forgotten', NULL, the_key, the_record);
    UPDATE factory.event_texts SET salt = the_salt, body = left_over, forgotten_by = event.seq
    WHERE run_id = the_run AND seq = the_seq AND name = the_name;
    -- The index of the search forgets with it; whoever searches next reads again from here.
    UPDATE factory.audit_indexed SET seq = least(seq, the_seq - 1) WHERE run_id = the_run;
    DELETE FROM factory.audit_words WHERE run_id = the_run AND seq = the_seq;
    RETURN NEXT event;
END $$;
REVOKE ALL ON FUNCTION factory.forget_text FROM PUBLIC;

-- Write the next events of an imported chain. Every hash is computed here; one that is not the file's refuses
-- them all. It gives no more than append_event does: whoever may append may also make up a run that never was.
-- What it adds is the mark, which nobody can take off.
CREATE FUNCTION factory.import_events(
    the_run text, the_by text, the_ats timestamptz[], the_kinds text[], the_teams text[], the_keys text[],
    the_records text[], the_hashes text[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head factory.run_heads;
    event factory.events;
BEGIN
    INSERT INTO factory.run_heads (run_id, seq, hash, imported_at, imported_by)
    VALUES (the_run, 0, repeat('0', 64), now(), the_by) ON CONFLICT DO NOTHING;
    SELECT * INTO head FROM factory.run_heads WHERE run_id = the_run FOR UPDATE;
    IF head.imported_at IS NULL THEN
        RAISE EXCEPTION 'run % is a run of this factory', the_run USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR n IN 1 .. cardinality(the_records) LOOP
        event := factory.write_event(head, the_ats[n], the_kinds[n], the_teams[n], the_keys[n], the_records[n]);
        IF event.hash <> the_hashes[n] THEN
            RAISE EXCEPTION 'event % of run % has another hash than the file says', event.seq, the_run
                USING ERRCODE = 'data_exception';
        END IF;
        head.seq := event.seq;
        head.hash := event.hash;
    END LOOP;
    RETURN head.seq;
END $$;
REVOKE ALL ON FUNCTION factory.import_events FROM PUBLIC;

-- The texts of an imported run: only such as its chain names by their digest.
CREATE FUNCTION factory.import_texts(
    the_run text, the_seqs bigint[], the_names text[], the_salts text[], the_bodies text[], the_forgotten bigint[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM factory.run_heads WHERE run_id = the_run AND imported_at IS NOT NULL) THEN
        RAISE EXCEPTION 'run % was not imported', the_run USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO factory.event_texts AS known (run_id, seq, name, salt, body, forgotten_by)
    SELECT the_run, t.seq, t.name, t.salt, t.body, t.forgotten
    FROM unnest(the_seqs, the_names, the_salts, the_bodies, the_forgotten)
        AS t (seq, name, salt, body, forgotten)
    JOIN factory.events e ON e.run_id = the_run AND e.seq = coalesce(t.forgotten, t.seq)
        AND (t.body IS NULL OR strpos(e.record, factory.text_digest(t.salt, t.body)) > 0)
    -- A later export of the same run may have forgotten more of it; what was forgotten here stays so.
    ON CONFLICT (run_id, seq, name) DO UPDATE
        SET salt = excluded.salt, body = excluded.body, forgotten_by = excluded.forgotten_by
        WHERE excluded.forgotten_by > coalesce(known.forgotten_by, 0);
    GET DIAGNOSTICS taken = ROW_COUNT;
    RETURN taken;
END $$;
REVOKE ALL ON FUNCTION factory.import_texts FROM PUBLIC;

-- The search ----------------------------------------------------------------------------------------------
-- Hashes of the words of each event and its texts. It is written when somebody searches, so that appending
-- costs nothing more, and it proves nothing: what is found is read again from the log.

CREATE TABLE factory.audit_words (
    run_id  text NOT NULL,
    seq     bigint NOT NULL,
    words   int[] NOT NULL,
    PRIMARY KEY (run_id, seq)
);
CREATE INDEX audit_words_by_word ON factory.audit_words USING gin (words);

CREATE TABLE factory.audit_indexed (
    run_id  text PRIMARY KEY,
    seq     bigint NOT NULL          -- the events up to here are in audit_words
);

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT ON factory.event_texts TO factory_service;
        GRANT SELECT, INSERT, UPDATE, DELETE ON factory.audit_words, factory.audit_indexed TO factory_service;
        GRANT EXECUTE ON FUNCTION factory.append_event_with_texts, factory.forget_text, factory.import_events,
            factory.import_texts TO factory_service;
    END IF;
END $$;
