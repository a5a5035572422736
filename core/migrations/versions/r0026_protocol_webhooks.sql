-- What a run of the Agent Protocol has its webhook told when it ends. No event of the log says it: the message stands
-- here, and goes when the run is forgotten. Its position is the run's number, negative.
ALTER TABLE factory.webhook_deliveries
    ADD COLUMN protocol_run uuid REFERENCES factory.protocol_runs (run_id) ON DELETE CASCADE,
    ADD COLUMN message text,
    ADD CHECK ((protocol_run IS NULL) = (message IS NULL));
CREATE INDEX webhook_deliveries_of_run ON factory.webhook_deliveries (protocol_run)
    WHERE protocol_run IS NOT NULL;
