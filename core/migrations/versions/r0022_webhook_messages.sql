-- A message is made from the log when it is sent: a copy of it here would outlive what was forgotten there.
ALTER TABLE factory.webhook_deliveries DROP COLUMN body;
