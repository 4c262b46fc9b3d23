"""JavaScript of one operation: `$where`, `$function`, `$accumulator`, `mapReduce`.

Scripts run in a process (`psdb_base.world.ScriptHost`). Whoever evaluates something that may
call one hands the whole evaluation to `Scripts.run`: it runs on the slot's thread, which blocks
in the calls while the loop serves others, and `maxTimeMS`, `killOp` and a closed connection end
the process. An evaluation that stands in the middle of a write cannot leave the loop; its calls
are answered within `HERE_SECONDS` or fail.

Invariant: `run` is given work that reads nothing that may change meanwhile (documents do not).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

import orjson

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.world import ScriptHost, ScriptSlot
from psdb_query import steps
from psdb_query.context import Env
from psdb_query.scripts.values import from_script, to_script
from psdb_server.operations import Operation

T = TypeVar("T")

CALL_SECONDS: Final = 60.0
"""MongoDB's `internalQueryJavaScriptFnTimeoutMillis`."""
HERE_SECONDS: Final = 0.1
HEAP_BYTES: Final = 128 * 1024 * 1024


class Scripts:
    """The script engine of one operation (and of the cursor it leaves).

    Attributes:
        used: A script was compiled with it: what was compiled should be evaluated by `run`.

    """

    def __init__(self, host: Callable[[], ScriptHost]) -> None:
        self._make_host = host
        self._host: ScriptHost | None = None
        self._session = 0
        self._slot: ScriptSlot | None = None
        self.used = False

    def compile_where(
        self, source: str, scope: Document | None
    ) -> Callable[[Document, Env], bool]:
        """Compile `$where`: an expression, a function's body or a function of `this`."""
        self.used = True
        bound = None if scope is None else to_script(scope)

        def match(document: Document, _env: Env) -> bool:
            answer: bool = self._ask("where", source, [[to_script(document), []]], bound)[0]
            return answer

        return match

    def compile_function(self, source: str) -> Callable[[list[Any]], Any]:
        """Compile a function of positional arguments."""
        self.used = True

        def call(arguments: list[Any]) -> Any:
            return from_script(self._ask("fn", source, [[None, to_script(arguments)]])[0])

        return call

    def call_many(
        self, source: str, calls: list[list[Any]], scope: Document | None = None
    ) -> list[Any]:
        """Call a function once for each list of arguments."""
        bound = None if scope is None else to_script(scope)
        asked = [[None, to_script(arguments)] for arguments in calls]
        return [from_script(one) for one in self._ask("fn", source, asked, bound)]

    def map_many(
        self, source: str, documents: list[Document], scope: Document | None = None
    ) -> list[tuple[Any, Any]]:
        """Run a map function over documents; return the pairs it emitted."""
        bound = None if scope is None else to_script(scope)
        asked = [[to_script(document), []] for document in documents]
        return [
            (from_script(key), from_script(value))
            for emitted in self._ask("map", source, asked, bound)
            for key, value in emitted
        ]

    async def run(self, op: Operation, work: Callable[[], T]) -> T:
        """Run an evaluation on a thread of its own.

        Raises MongoError 50, 11601, 279 as a checkpoint of the operation would.
        """
        host = self._open()
        slot = await host.acquire()
        try:
            self._slot = slot
            op.away = True
            context = copy_context()
            context.run(steps.CHECK.set, op.spend)
            done = asyncio.ensure_future(slot.submit(partial(context.run, work)))
            try:
                return await op.watch(done)
            except BaseException:
                if not done.done():
                    slot.kill()
                    await asyncio.gather(done, return_exceptions=True)
                raise
        finally:
            self._slot = None
            op.away = False
            host.release(slot)

    def _open(self) -> ScriptHost:
        if self._host is None:
            self._host = self._make_host()
            self._session = self._host.session()
        return self._host

    def _ask(
        self, kind: str, source: str, calls: list[Any], scope: Any = None
    ) -> list[Any]:
        """Call the script process; raise 139 for what the script throws."""
        slot, seconds = self._slot, CALL_SECONDS
        if slot is None:
            slot, seconds = self._open().here(), HERE_SECONDS
            if slot is None:
                raise MongoError(
                    Code.EXCEEDED_TIME_LIMIT, "all script engines are busy with other operations"
                )
        text = orjson.dumps({"k": kind, "f": source, "s": scope, "a": calls}).decode()
        try:
            answer = slot.call(self._session, text, seconds, HEAP_BYTES)
        except TimeoutError:
            raise MongoError(
                Code.EXCEEDED_TIME_LIMIT, f"a JavaScript call took more than {seconds:g} s"
            ) from None
        except OSError as error:
            raise MongoError(Code.JS_INTERPRETER_FAILURE, str(error)) from None
        if answer.startswith("!"):
            raise MongoError(Code.JS_INTERPRETER_FAILURE, answer[1:])
        parsed = orjson.loads(answer)
        if "e" in parsed:
            raise MongoError(_code_of(parsed["e"]), parsed["e"])
        results: list[Any] = parsed["r"]
        return results


def _code_of(message: str) -> int:
    """Return the error code of what a script threw."""
    return 17279 if "exceeded depth limit" in message else Code.JS_INTERPRETER_FAILURE
