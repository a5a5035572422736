ALTER TABLE factory.schedules
    ALTER COLUMN project SET NOT NULL,
    ADD COLUMN timezone   text,          -- in which cron's fields are read; UTC where it is null
    ADD COLUMN paused_at  timestamptz,
    ADD COLUMN paused_by  text,
    ADD COLUMN last_due   timestamptz,   -- the last time that has come
    ADD COLUMN last_run   text,          -- the run that was made, or is to be made by the job in the queue
    ADD COLUMN last_said  text;          -- what became of that time

DROP INDEX factory.schedules_due;
CREATE INDEX schedules_due ON factory.schedules (next_at) WHERE paused_at IS NULL;
CREATE INDEX schedules_by_project ON factory.schedules (project);
