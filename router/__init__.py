"""Floor 6: the router, PSDB's mongos: it finds the shard of each command and forwards it."""
