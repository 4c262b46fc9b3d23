"""Floor 6: the config server: the sharding catalogue on a replica-set member."""
