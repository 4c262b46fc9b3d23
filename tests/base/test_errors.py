"""MongoError."""

from __future__ import annotations

import pytest

from psdb_base.errors import Code, MongoError, error_context


class OneKindError(MongoError):
    """A kind of its own."""


def test_an_error_raised_for_several_is_told_to_each_in_its_own_context() -> None:
    shared = OneKindError(Code.BAD_VALUE, "it is so", labels=("L",), extra={"more": 1})
    told = []
    for context in ("one", "other"):
        with pytest.raises(OneKindError) as caught, error_context(context):
            raise shared
        error = caught.value
        told.append(error.message)
        assert (error.code, error.labels, error.extra) == (2, ("L",), {"more": 1})
        assert str(error) == f"BadValue (2): {error.message}"
        assert error.args == (error.message,)
    assert told == ["one :: caused by :: it is so", "other :: caused by :: it is so"]
    assert shared.message == "it is so"
