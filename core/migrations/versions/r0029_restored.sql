-- What was made of a memory ends with it when another run supersedes it. Where that run fails, the memory holds
-- again, and so does what was made of it: its mark goes, so that it can be taken back in its turn.

DO $$
BEGIN
    IF to_regrole('factory_service') IS NOT NULL THEN
        GRANT DELETE, UPDATE (why) ON factory.taken_back TO factory_service;
    END IF;
END $$;
