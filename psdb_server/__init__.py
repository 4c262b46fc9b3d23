"""Floor 3: what routers and members share as servers: commands, sessions, cursors, replies."""
