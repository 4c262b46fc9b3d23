"""`validate` and `fsync`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo.errors import OperationFailure


def test_figures(db: Any) -> None:
    db.c.create_index("tags")
    db.c.insert_many({"_id": n, "tags": [n, n + 1]} for n in range(10))
    reply = db.command("validate", "c")
    assert (reply["valid"], reply["nrecords"], reply["nIndexes"]) == (True, 10, 2)
    assert reply["keysPerIndex"] == {"_id_": 10, "tags_1": 20}
    assert reply["indexDetails"] == {"_id_": {"valid": True}, "tags_1": {"valid": True}}


@pytest.mark.parametrize("options", [{}, {"background": True}, {"full": True}])
def test_writes_meanwhile_disturb_nothing(db: Any, options: dict[str, Any]) -> None:
    db.c.create_index("n")
    db.c.insert_many({"_id": n, "n": n} for n in range(5000))
    stop = threading.Event()

    def write() -> None:
        number = 5000
        while not stop.is_set():
            number += 1
            db.c.insert_one({"_id": number, "n": -number})
            db.c.update_one({"_id": number - 4000}, {"$inc": {"n": 1}})
            db.c.delete_one({"_id": number - 4990})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        replies = [db.command("validate", "c", **options) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert [reply["errors"] for reply in replies] == [[]] * 5


def test_documents_that_do_not_fit_the_schema(db: Any) -> None:
    db.c.insert_many([{"n": 1}, {"n": "one"}])
    db.command("collMod", "c", validator={"n": {"$type": "number"}})
    reply = db.command("validate", "c")
    assert (reply["valid"], reply["nNonCompliantDocuments"], len(reply["warnings"])) == (True, 1, 1)


REFUSED = {
    "background and full": ({"background": True, "full": True}, 115),
    "metadata and full": ({"metadata": True, "full": True}, 72),
    "background and repair": ({"background": True, "repair": True}, 115),
    "conformance and repair": ({"checkBSONConformance": True, "repair": True}, 72),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_not_go_together(db: Any, case: str) -> None:
    db.c.insert_one({})
    options, code = REFUSED[case]
    with pytest.raises(OperationFailure) as caught:
        db.command("validate", "c", **options)
    assert caught.value.code == code


def test_fsync(client: Any, db: Any) -> None:
    db.c.insert_one({"text": "x" * 1000})
    assert client.admin.command("fsync")["numFiles"] >= 1
    assert db.command("dbStats")["storageSize"] > 1000
