"""What makes a member a shard: ownership, versions, filtering, migration, range deletion."""
