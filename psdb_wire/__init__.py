"""Floor 2: OP_MSG, OP_QUERY and OP_COMPRESSED frames, server connections, client channels."""
