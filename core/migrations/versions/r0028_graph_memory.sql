-- Build the graph of a bank in as much memory as it takes. Where it does not fit any more, each further vector
-- is put into what lies on the disk, tenfold as slowly, while the bank's writers wait. An element takes its
-- vector and 0.7 kB for its neighbours (pgvector's hnsw.h with m = 16). More than 1 GB only where the operator
-- lets maintenance_work_mem be more.
-- A parallel build keeps the graph in /dev/shm, of which a container has 64 MB; there it is built by one.
CREATE OR REPLACE FUNCTION factory.index_space(the_space int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dims int;
    vectors bigint;
    command text;
    before text := current_setting('maintenance_work_mem');
    workers text := current_setting('max_parallel_maintenance_workers');
    needed bigint;
BEGIN
    -- A writer of the bank locks its vectors before its spaces; here it is the other way round.
    PERFORM pg_advisory_xact_lock(7169389, s.bank) FROM factory.spaces s WHERE s.id = the_space;
    SELECT s.dimension, b.live INTO dims, vectors FROM factory.spaces s JOIN factory.banks b ON b.id = s.bank
        WHERE s.id = the_space AND NOT s.indexed FOR UPDATE OF s;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    needed := greatest(64 * 1024, vectors * (2 * dims + 768) * 11 / 10 / 1024);
    IF pg_size_bytes(before) < least(needed, 1024 * 1024) * 1024 THEN
        PERFORM set_config('maintenance_work_mem', least(needed, 1024 * 1024) || 'kB', true);
    END IF;
    command := format('CREATE INDEX %I ON factory.%I USING hnsw
        ((embedding::public.halfvec(%s)) public.halfvec_ip_ops) WHERE live',
        'vectors_' || the_space || '_graph', 'vectors_' || the_space, dims);
    BEGIN
        EXECUTE command;
    EXCEPTION WHEN insufficient_resources THEN
        PERFORM set_config('max_parallel_maintenance_workers', '0', true);
        EXECUTE command;
    END;
    UPDATE factory.spaces SET indexed = true WHERE id = the_space;
    PERFORM set_config('maintenance_work_mem', before, true);
    PERFORM set_config('max_parallel_maintenance_workers', workers, true);
END $$;
