ALTER TABLE factory.model_calls ADD COLUMN account text NOT NULL DEFAULT '';
