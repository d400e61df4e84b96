"""Recipes of published tables: every printed row has one or a reason why not, and what is published is what they run."""

from __future__ import annotations

import pytest

from suite.errors import ConfigError
from suite.leaderboard.ledger import published_values
from suite.leaderboard.protocols import flat, protocol_of
from suite.leaderboard.recipes import LIMITED, paper_names, recipe_settings, recipe_table
from suite.registry import METHODS
from suite.workflows.paper_rows import Wanted, printed_rows


@pytest.mark.parametrize("name", paper_names())
def test_every_printed_row_has_a_recipe_or_a_reason(name: str) -> None:
    table, values = recipe_table(name), published_values(name)
    printed = [method for row in table.rows for method in row.published]
    assert sorted(printed) == sorted(set(values["method"]))  # each once, and none that nobody printed
    assert set(table.backbones) == set(values["backbone"])
    rows = printed_rows(name, Wanted())
    assert all(row.configs or row.absent for row in rows)
    for value in values.to_dict("records"):
        assert sum(row.is_printed_as(value) for row in rows) == 1


@pytest.mark.parametrize("name", paper_names())
def test_a_recipe_runs_what_is_published_of_its_row(name: str) -> None:
    """Whatever the protocol of a row says of a config stands in the config of the row's run."""
    for row in printed_rows(name, Wanted(seeds=(0, 1))):
        if row.absent:
            continue
        protocol = protocol_of(name, row.published)
        assert protocol is not None and protocol.method == row.method
        assert [config.seed for config in row.configs] == [0, 1]
        resolved = flat(row.configs[0].resolved())
        for key, wanted in protocol.settings.items():
            if key != "carrier":
                assert resolved[key] in (wanted if isinstance(wanted, tuple) else (wanted,)), (row.published, key)


def test_the_released_run_of_codyra_is_the_one_with_a_verdict() -> None:
    (row,) = printed_rows("xtail", Wanted(methods=["codyra"], orders=["I"]))
    protocol = protocol_of("xtail", "CoDyRA")
    assert protocol is not None and protocol.tolerance
    fields = row.configs[0].resolved()
    assert (fields["benchmark"]["order"], fields["training"]["steps"], fields["method"]["kappa_levels"]) == ("I", 500, 50)


def test_orders_and_backbones_are_runs_of_their_own_and_equal_settings_are_one() -> None:
    two = {row.configs[0].config_hash() for row in printed_rows("xtail", Wanted(methods=["rail-primal"]))}
    assert len(two) == 2  # order I, printed by three sources under two names, and order II
    models = {row.configs[0].resolved()["backbone"]["model"] for row in printed_rows("trace-500", Wanted(methods=["treelora"]))}
    assert models == {"meta-llama/Llama-2-7b-chat-hf", "google/gemma-2b-it", "meta-llama/Llama-3.2-1B-Instruct"}
    own = Wanted(methods=["treelora"], settings=["backbone.model=mine"])
    assert len({row.configs[0].config_hash() for row in printed_rows("trace-500", own)}) == 1


def test_a_limit_leaves_four_steps_whatever_the_recipe_takes() -> None:
    table = recipe_table("trace-500")
    recipe = table.recipe("TreeLoRA")
    assert recipe is not None
    whole = recipe_settings(table, recipe, "trace-500", "TreeLoRA", is_limited=False)
    cut = recipe_settings(table, recipe, "trace-500", "TreeLoRA", is_limited=True)
    assert whole["training.per_task.FOMC.steps"] == 16
    assert {key: cut[key] for key in LIMITED} == LIMITED
    assert not [key for key in cut if key.endswith(".steps") and "per_task" in key]
    moe = recipe_table("mtil-5shot").recipe("MoE-Adapter (dagger)")
    assert moe is not None
    rates = recipe_settings(recipe_table("mtil-5shot"), moe, "mtil-5shot", "MoE-Adapter (dagger)", is_limited=True)
    assert rates["training.per_task.aircraft.lr"] == 8e-3


def test_the_callers_settings_go_before_the_recipes() -> None:
    (row,) = printed_rows("xtail", Wanted(methods=["codyra"], settings={"codyra.rank": 8, "training.epochs": 1}))
    fields = row.configs[0].resolved()
    assert (fields["method"]["rank"], fields["training"]["epochs"], fields["training"]["steps"]) == (8, 1.0, None)


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("xtial", Wanted(), r"'xtial' is not a published table; use one of .* \(nearest: 'xtail'\)"),
        ("mini-mtil", Wanted(), "'mini-mtil' is not a published table"),
        ("xtail", Wanted(methods=["olora"]), "paper xtail: 'olora' is not a method of this table; use one of codyra"),
        ("xtail", Wanted(methods=["lroa"]), r"paper xtail: 'lroa' is not a method of this table; use one of codyra, icarl"),
        ("xtail", Wanted(orders=["III"]), "paper xtail: 'III' is not an order of this table; use one of I, II"),
        ("trace", Wanted(backbones=["Gemma-2B-it"]), "paper trace: 'Gemma-2B-it' is not a backbone of this table"),
        ("xtail", Wanted(methods=["codyra"], orders=["II"]), "paper xtail: no row is of these methods, orders and backbones"),
        ("xtail", Wanted(methods=["codyra"], settings=["lora.rank=4"]), "lora.rank=4: lora is not compared, codyra are"),
        ("xtail", Wanted(methods=["codyra"], settings=["codyra.rnak=4"]), r"codyra\.rnak: unknown key"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_not_in_a_table_is_refused_with_what_is(name: str, wanted: Wanted, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        printed_rows(name, wanted)


def test_methods_are_registered() -> None:
    for name in paper_names():
        assert {row.method for row in printed_rows(name, Wanted()) if row.method} <= set(METHODS)
