"""The ground: settings, database, migrations, event log, errors, clock."""
