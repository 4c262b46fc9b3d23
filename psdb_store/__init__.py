"""Floor 4: the storage engine: JSON journal and data files, records, indexes, versions."""
