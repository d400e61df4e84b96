"""Lists in the files of sweeps and tunings: none is empty, and what is wrong with one is said in the words of such a file."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

Item = TypeVar("Item")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _several(value: Any) -> Any:
    if not _is_list(value) or not value:
        raise ValueError("takes a list of at least one, as in [a, b]")
    return value


def _one_or_several(value: Any) -> Any:
    if isinstance(value, str) or (_is_list(value) and value and all(isinstance(one, str) for one in value)):
        return value
    raise ValueError("takes a name or a list of at least one, as in [a, b]")


def _orders(value: Any) -> Any:
    every = list(value.values()) if isinstance(value, dict) else [value]
    are_lists = all(_is_list(one) and one and all(type(order) in (str, int) for order in one) for one in every)
    if value is not None and not (every and are_lists):
        raise ValueError("takes a list of orders, as in [II, III], or one per benchmark, as in {mini-xtail: [II]}")
    return value


Several = Annotated[tuple[Item, ...], BeforeValidator(_several)]
OneOrSeveral = Annotated[str | tuple[str, ...], BeforeValidator(_one_or_several)]
Orders = Annotated[tuple[str | int, ...] | dict[str, tuple[str | int, ...]] | None, BeforeValidator(_orders)]
