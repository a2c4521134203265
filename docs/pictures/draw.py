"""Draws the pictures of the documentation: `python docs/pictures/draw.py` writes `parts.svg` and `settlement.svg` beside itself."""

from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

INK, PALE, LINE = "#1f2933", "#52606d", "#7b8794"
AGENT, OURS, DURABLE, CHAIN = "#fff3c4", "#d6ebff", "#e3f9e5", "#ead6fd"


class Box(NamedTuple):
    x: int
    y: int
    w: int
    h: int
    fill: str
    title: str
    lines: tuple[str, ...] = ()

    def at(self, side: str, along: float = 0.5) -> tuple[float, float]:
        """A point on a side: "l", "r", "t" or "b"."""
        if side in "lr":
            return self.x + (self.w if side == "r" else 0), self.y + self.h * along
        return self.x + self.w * along, self.y + (self.h if side == "b" else 0)


class Arrow(NamedTuple):
    start: tuple[float, float]
    end: tuple[float, float]
    label: str = ""
    dx: int = 0
    dy: int = -6
    anchor: str = "middle"


def svg(width: int, height: int, boxes: list[Box], arrows: list[Arrow]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for box in boxes:
        parts.append(
            f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="8" fill="{box.fill}" stroke="{LINE}"/>'
        )
        middle = box.x + box.w / 2
        parts.append(_text(middle, box.y + 21, box.title, 14, INK, bold=True))
        parts += [
            _text(middle, box.y + 39 + 15 * row, line, 11.5, PALE) for row, line in enumerate(box.lines)
        ]
    for arrow in arrows:
        (x1, y1), (x2, y2) = arrow.start, arrow.end
        parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}" stroke-width="1.5" marker-end="url(#tip)"/>'
        )
        if arrow.label:
            x, y = (x1 + x2) / 2 + arrow.dx, (y1 + y2) / 2 + arrow.dy
            parts.append(_text(x, y, arrow.label, 11.5, PALE, arrow.anchor))
    return "\n".join([*parts, "</svg>", ""])


def _text(
    x: float, y: float, text: str, size: float, color: str, anchor: str = "middle", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def parts() -> str:
    trader = Box(20, 40, 150, 62, AGENT, "trader agents", ("SDK, own process", "key: ed25519"))
    maker = Box(20, 150, 150, 62, AGENT, "maker agents", ("standing quotes,", "answers to requests"))
    api = Box(
        270,
        40,
        150,
        172,
        OURS,
        "API",
        (
            "WebSocket: requests,",
            "quotes, fills,",
            "numbered streams",
            "",
            "HTTP: registration,",
            "reads, OpenAPI",
        ),
    )
    matcher = Box(
        470,
        40,
        170,
        172,
        OURS,
        "matcher",
        (
            "one writer, in memory",
            "ranking, margin,",
            "positions, fees",
            "",
            "durable before",
            "acknowledged",
        ),
    )
    journal = Box(690, 40, 150, 62, DURABLE, "journal", ("fdatasync in groups,", "replay, snapshots"))
    postgres = Box(
        690, 150, 150, 62, DURABLE, "PostgreSQL", ("double-entry ledger,", "batches, signed bytes")
    )
    oracle = Box(470, 270, 170, 62, OURS, "prices", ("Pyth live, recorded", "or generated"))
    temporal = Box(
        690,
        270,
        150,
        92,
        DURABLE,
        "Temporal",
        ("settlement, deposits,", "withdrawals:", "to the end, always"),
    )
    chain = Box(
        20,
        390,
        820,
        76,
        CHAIN,
        "Solana: escrow program",
        (
            "one USDC vault, 105 accounts a page, one page a transaction,",
            "roots that prove every fill and balance",
        ),
    )
    return svg(
        920,
        486,
        [trader, maker, api, matcher, journal, postgres, oracle, temporal, chain],
        [
            Arrow(trader.at("r", 0.35), (270, trader.y + 62 * 0.35), "request"),
            Arrow((270, trader.y + 62 * 0.75), trader.at("r", 0.75), "fill"),
            Arrow(maker.at("r", 0.35), (270, maker.y + 62 * 0.35), "firm quotes"),
            Arrow((270, maker.y + 62 * 0.75), maker.at("r", 0.75), "who asks?"),
            Arrow((420, 126), (470, 126)),
            Arrow((640, 71), (690, 71), "records", 0, -6),
            Arrow(journal.at("b"), postgres.at("t"), "projector", 8, 4, "start"),
            Arrow(oracle.at("t"), matcher.at("b"), "index", 8, 4, "start"),
            Arrow(temporal.at("l", 0.2), (600, 212), "cut", 2, -8),
            Arrow(temporal.at("t"), postgres.at("b"), "batch and bytes", 8, 4, "start"),
            Arrow(temporal.at("b"), (765, 390), "then send", 8, 4, "start"),
            Arrow(maker.at("b"), (95, 390), "deposits; withdrawals", 8, -4, "start"),
            Arrow(maker.at("b"), (95, 390), "(owner and operator sign)", 8, 12, "start"),
        ],
    )


def settlement() -> str:
    titles = ("matched", "batched", "submitted", "confirmed", "final")
    texts = (
        ("fill in the journal,", "told to both agents"),
        ("cut, netted, stored with", "root and page plan"),
        ("open on chain, pages", "stored, then sent"),
        ("every page took the", "batch, once"),
        ("sealed and finalized,", "reconciled"),
    )
    boxes = [
        Box(20 + 172 * place, 30, 152, 76, (OURS, DURABLE, CHAIN, CHAIN, CHAIN)[place], title, lines)
        for place, (title, lines) in enumerate(zip(titles, texts, strict=True))
    ]
    arrows = [Arrow(left.at("r"), right.at("l")) for left, right in pairwise(boxes)]
    return svg(880, 136, boxes, arrows)


if __name__ == "__main__":
    here = Path(__file__).parent
    (here / "parts.svg").write_text(parts())
    (here / "settlement.svg").write_text(settlement())
