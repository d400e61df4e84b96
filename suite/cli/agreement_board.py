"""How far a miniature agrees with a published table, on a terminal."""

from __future__ import annotations

import math

from suite.cli.tables import Column, Sheet, print_sheet
from suite.leaderboard.table import number_text, with_spread
from suite.measuring.agreement import CLAIMANT, Agreement, tau_text


def print_agreement(found: Agreement) -> None:
    """Both orders side by side, tau with and without CoDyRA's own claim, and every pair that changed places."""
    pairing = found.pairing
    columns = [
        Column("method", wraps=True),
        Column("printed as", wraps=True, optional=2),
        Column("printed\nlast"),
        Column("printed\nrank"),
        Column("miniature\nlast"),
        Column("miniature\nrank"),
        Column("tuned lr", optional=3),
        Column("grade", wraps=True, optional=1),
    ]
    rows = [
        [
            str(row["method"]),
            str(row["printed as"]),
            number_text(row["printed"]),
            f"{row['printed rank']:g}",
            with_spread(row["own"], row["own std"]),
            f"{row['own rank']:g}",
            "-" if math.isnan(row["lr"]) else f"{row['lr']:g}",
            str(row["grade"]),
        ]
        for row in found.table.to_dict("records")
    ]
    notes = [f"Kendall's tau-b: {tau_text(found.every)}"]
    if CLAIMANT in set(found.table["method"]):
        notes.append(f"without {CLAIMANT}, whose printed row is its authors' claim: {tau_text(found.without)}")
    pairs = len(rows) * (len(rows) - 1) // 2
    notes.append(f"{len(found.disagreements)} of {pairs} pairs in another order than printed")
    if found.open_ends:
        notes.append(f"the tuned lr is an end of those tried, so a better one may lie beyond: {', '.join(found.open_ends)}")
    notes += [f"- {sentence}" for sentence in found.disagreements]
    place = f"order {pairing.order}, {pairing.backbone}"
    print_sheet(Sheet(f"{pairing.mini} against {pairing.published} ({place}), {pairing.metric} in %", columns, rows, notes))
