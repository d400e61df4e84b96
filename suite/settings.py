"""The base of every config model: frozen, no unknown keys, and numbers that are numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from suite.files import composed

Name = Annotated[str, AfterValidator(composed)]
"""The name of something of the user, such as a folder: in composed Unicode, so that it is one name on every system."""

LARGEST = 2**53  # whole numbers up to here are exact in JSON, in databases and as floats


class Settings(BaseModel):
    """A config or a part of one. A truth value is not read as 0 or 1, and NaN, infinity and endless numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if _mentions(annotation, BaseModel):
            return value  # models inside check their own fields and can name them
        truth = _mentions(annotation, bool)
        for leaf in _leaves(value):
            if isinstance(leaf, bool) and not truth:
                raise ValueError(
                    f"'{str(leaf).lower()}' is a truth value and no number or name; write the value, in quotes if it is a word"
                )
            if isinstance(leaf, int) and abs(leaf) > LARGEST:
                raise ValueError(f"'{_short(leaf)}' is too large; whole numbers go up to {LARGEST}")
        return value


def _leaves(value: Any) -> Iterator[Any]:
    """What stands in a value made of lists and mappings."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _mentions(annotation: Any, wanted: type) -> bool:
    """Whether a field of this type says that it may hold a ``wanted`` anywhere; anything may hold a truth value."""
    if annotation is Any:
        return wanted is bool
    if isinstance(annotation, type) and issubclass(annotation, wanted):
        return True
    return any(isinstance(part, wanted) or _mentions(part, wanted) for part in get_args(annotation))


def _short(number: int) -> str:
    digits = number.bit_length() * 30103 // 100000 + 1  # str() refuses numbers of more than 4,300 digits
    return str(number) if digits <= 40 else f"a number of about {digits} digits"
