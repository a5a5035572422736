-- Which runs may be taken back yet. Memory asks this, and knows nothing of how a run is kept or what its states
-- are; whoever changes that, changes this view with it.
CREATE VIEW factory.open_runs AS SELECT id FROM factory.runs WHERE status <> 'completed';

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT SELECT ON factory.open_runs TO factory_service;
    END IF;
END $$;
