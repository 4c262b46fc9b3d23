"""Commands on search indexes: answered as MongoDB answers them where no search server runs."""

from __future__ import annotations

from psdb_base.errors import MongoError
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field


async def refuse(_request: Request) -> Reply:
    """Refuse with 31082 SearchNotEnabled."""
    from psdb_query.stages.table import SEARCH_MISSING

    raise MongoError(*SEARCH_MISSING)


_HELP = "Refused: search indexes need a search server."
_WHICH = (Field("id", "string"), Field("name", "string"))

COMMANDS = (
    Command(
        "createSearchIndexes", refuse, (Field("indexes", "objects", required=True),),
        target="string", help=_HELP,
    ),
    Command("dropSearchIndex", refuse, _WHICH, target="string", help=_HELP),
    Command("listSearchIndexes", refuse, _WHICH, target="string", help=_HELP),
    Command(
        "updateSearchIndex", refuse, (*_WHICH, Field("definition", "object", required=True)),
        target="string", help=_HELP,
    ),
)
