"""Authentication commands: they answer that there are no users, and so nobody can log in."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, Reply, Request


async def fail(_request: Request) -> Reply:
    """Refuse: PSDB has no users yet."""
    raise MongoError(Code.AUTHENTICATION_FAILED, "Authentication failed.")


async def logout(_request: Request) -> Reply:
    """Log out nobody."""
    return {}


COMMANDS = (
    Command("authenticate", fail, strict=False, help="Refused: PSDB has no users yet."),
    Command("logout", logout, help="Log out."),
    Command("saslContinue", fail, strict=False, help="Refused: PSDB has no users yet."),
    Command("saslStart", fail, strict=False, help="Refused: PSDB has no users yet."),
)
