"""
Colours that stand on each other can be told apart: WCAG 2.2, computed from the tokens themselves.
"""

import re
from pathlib import Path

import pytest
from counterfoil.web import rendering

STATIC = Path(rendering.__file__).parent / "static"
TEXT_RATIO_MIN = 4.5  # 1.4.3
SHAPE_RATIO_MIN = 3.0  # 1.4.11
GROUNDS = ("paper", "sheet", "sunk")
WASHES = ("accent-wash", "bad-wash", "wait-wash")
# What is written, and on what.
TEXT = (
    *(("ink", ground) for ground in (*GROUNDS, *WASHES)),
    *(("ink-soft", ground) for ground in (*GROUNDS, *WASHES)),
    *(("accent", ground) for ground in (*GROUNDS, *WASHES)),
    *(("accent-hover", ground) for ground in (*GROUNDS, "accent-wash")),
    *(("bad", ground) for ground in (*GROUNDS, "bad-wash")),
    *(("wait", ground) for ground in (*GROUNDS, "wait-wash")),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-bad", "bad"),
    ("on-bad", "bad-hover"),
    ("wait-wash", "wait"),
    ("on-test", "test"),
)
# Edges of what is used, the focus ring, drawings that carry a meaning.
SHAPES = (
    *(("line-strong", ground) for ground in GROUNDS),
    *(("focus", ground) for ground in (*GROUNDS, *WASHES)),
)


def tokens(css: str, scheme: str) -> dict[str, str]:
    """Return the colours of a scheme; the dark one overrides the light one."""
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light))
    return (
        {**found, **dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", dark))}
        if (scheme == "dark")
        else found
    )


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2, definitions)."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_guidelines_do() -> None:
    """Black on white is 21, and a colour on itself is 1."""
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert contrast("#1b5e4a", "#1b5e4a") == 1
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_whatever_is_written_can_be_read(scheme: str) -> None:
    """Light and dark, on every ground that it stands on."""
    colours = tokens((STATIC / "tokens.css").read_text(), scheme)
    for pairs, least in ((TEXT, TEXT_RATIO_MIN), (SHAPES, SHAPE_RATIO_MIN)):
        for written, ground in pairs:
            ratio = contrast(colours[written], colours[ground])

            assert ratio >= least, f"{scheme}: {written} on {ground} is {ratio:.2f}"


def test_only_the_tokens_name_colours() -> None:
    """A page that does would be forgotten in the dark; print alone is black on white."""
    for file in STATIC.glob("*.css"):
        if file.name != "tokens.css":
            text = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL)
            named = re.findall(r":[^;{]*(#[0-9a-f]{3,8}|\brgba?\(|\bhsla?\()[^;]*;", text)

            assert not named, f"{file.name}: {named}"


def test_every_icon_of_the_menu_is_drawn() -> None:
    """One that is not would leave a gap."""
    drawn = set(re.findall(r'symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text()))

    assert {address.strip("/") for address, _, _ in rendering.MENU} <= drawn
