-- A team's mental model: a short page about what its bank says, version by version.

CREATE TABLE factory.mental_models (
    bank     int NOT NULL REFERENCES factory.banks (id) ON DELETE CASCADE,
    version  int NOT NULL CHECK (version > 0),
    at       timestamptz NOT NULL,
    by       text NOT NULL CHECK (by <> ''),       -- factory, or the person
    way      text NOT NULL CHECK (way IN ('digest', 'model', 'person')),
    key      text NOT NULL,
    seen     int NOT NULL,                         -- the bank's last memory that was looked at
    lines    jsonb NOT NULL CHECK (jsonb_typeof(lines) = 'array'),   -- {text, by, sources, forgotten}
    PRIMARY KEY (bank, version),
    UNIQUE (bank, key)                             -- the same refresh made again, after a crash, adds nothing
);

-- What a version said is settled, whatever role is asking; only a line of it may be forgotten.
CREATE FUNCTION factory.refuse_rewritten_model() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF (to_jsonb(NEW) - '{lines,seen}'::text[]) <> (to_jsonb(OLD) - '{lines,seen}'::text[])
        OR NEW.seen < OLD.seen
        OR jsonb_array_length(NEW.lines) <> jsonb_array_length(OLD.lines)
        OR EXISTS (
            SELECT FROM jsonb_array_elements(NEW.lines) WITH ORDINALITY n (line, place)
            JOIN jsonb_array_elements(OLD.lines) WITH ORDINALITY o (line, place) USING (place)
            WHERE n.line <> o.line AND n.line <> o.line || '{"text": "", "forgotten": true}')
    THEN
        RAISE EXCEPTION 'a version of a mental model is forgotten line by line, never rewritten'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER never_rewritten BEFORE UPDATE ON factory.mental_models
    FOR EACH ROW EXECUTE FUNCTION factory.refuse_rewritten_model();

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT, INSERT ON factory.mental_models TO factory_service;
        GRANT UPDATE (lines, seen) ON factory.mental_models TO factory_service;
    END IF;
END $$;
