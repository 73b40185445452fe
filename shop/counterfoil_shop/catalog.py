"""
What the shop sells: a handful of paper goods, with prices in US cents.

A product's drawing is `static/products/<slug>.svg`; its tint names the colour of the
tile it lies on.
"""

from dataclasses import dataclass

CURRENCY = "USD"
QUANTITY_MAX = 10  # Per order; a shop window, not a warehouse.


@dataclass(frozen=True)
class Product:
    """
    One thing in the shop window.
    """

    slug: str
    name: str
    line: str
    description: str
    details: tuple[str, ...]
    amount_minor: int
    tint: str


PRODUCTS = (
    Product(
        slug="letter-set",
        name="Letter Set No. 42",
        line="Twenty sheets, twenty envelopes",
        description=(
            "Laid paper that takes ink without feathering, and deep-flap envelopes lined in "
            "marine blue. For the letters that are kept."
        ),
        details=("20 sheets, 148 × 210 mm", "20 lined envelopes", "120 g/m² laid paper"),
        amount_minor=42_00,
        tint="blue",
    ),
    Product(
        slug="counterfoil-book",
        name="The Counterfoil Book",
        line="Fifty perforated leaves",
        description=(
            "Tear off the leaf, keep the stub. Every pair carries the same printed number, so "
            "that both halves of a promise can be laid side by side again."
        ),
        details=("50 numbered leaves", "Micro-perforated, 210 × 99 mm", "Sewn spine"),
        amount_minor=18_00,
        tint="green",
    ),
    Product(
        slug="daybook",
        name="Daybook",
        line="One page for each day",
        description=(
            "A cloth-bound year with room for what was planned and what happened instead. Opens "
            "flat, closes with an elastic, ends with an index you fill in yourself."
        ),
        details=("384 pages, 145 × 205 mm", "Thread-sewn, opens flat", "Two ribbon markers"),
        amount_minor=24_00,
        tint="red",
    ),
    Product(
        slug="iron-gall-ink",
        name="Iron Gall Ink",
        line="Fifty millilitres, blue-black",
        description=(
            "Writes blue and dries black, as it has since the fifth century. Waterproof within "
            "the hour; signatures made with it outlive the people who argue about them."
        ),
        details=("50 ml glass bottle", "Suits dip and fountain pens", "Document-proof"),
        amount_minor=21_00,
        tint="ochre",
    ),
    Product(
        slug="ledger-pencils",
        name="Ledger Pencils",
        line="Six, half red, half blue",
        description=(
            "Red for what goes out, blue for what comes in. Incense cedar, soft waxy cores, and "
            "just enough pencil for one honest year."
        ),
        details=("6 pencils, 176 mm", "Incense cedar", "3.3 mm cores"),
        amount_minor=12_00,
        tint="green",
    ),
    Product(
        slug="duplicate-pad",
        name="Duplicate Pad",
        line="Write once, keep a copy",
        description=(
            "A white sheet, a yellow sheet, and nothing between them but chemistry. For receipts, "
            "orders and anything two people should remember alike."
        ),
        details=("2 × 50 sheets, A6", "Carbonless", "Numbered 001 to 050"),
        amount_minor=9_00,
        tint="ochre",
    ),
    Product(
        slug="sealing-wax",
        name="Sealing Wax",
        line="Two sticks and a brass stamp",
        description=(
            "Vermilion wax that stays supple in the post, and a small stamp engraved with a "
            "perforated line. Lift the seal and everyone will know."
        ),
        details=("2 sticks, 90 mm", "Brass stamp, 22 mm", "About 40 seals"),
        amount_minor=16_00,
        tint="red",
    ),
    Product(
        slug="brass-clips",
        name="Brass Clips",
        line="A dozen, in a tin",
        description=(
            "Clips that hold a stack of receipts without leaving a mark and darken with the "
            "years. The tin closes with a click you will come to like."
        ),
        details=("12 clips, 32 mm", "Solid brass", "Tin box"),
        amount_minor=8_00,
        tint="blue",
    ),
)

_BY_SLUG = {product.slug: product for product in PRODUCTS}


def find(slug: str) -> Product | None:
    """
    The product named *slug*, or None when the shop has none of that name.
    """
    return _BY_SLUG.get(slug)


def dollars(amount_minor: int) -> str:
    """
    Write US cents as people read them: 4200 is `$42.00`.
    """
    whole, cents = divmod(amount_minor, 100)
    return f"${whole:,}.{cents:02d}"
