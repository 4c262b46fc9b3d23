"""Floor 5: the replica-set member that holds data and executes commands."""
