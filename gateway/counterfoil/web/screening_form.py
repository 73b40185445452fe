"""
Rules of screening as a form: what stands as fields, and fields as rules with faults at them.
"""

from typing import Any

import msgspec

from counterfoil.amounts import amount_or_fault
from counterfoil.money import Currency, decimal_text
from counterfoil.network.verification_results import AVS_WORDS, CVV_WORDS, Avs, Cvv
from counterfoil.payments.policy import (
    COUNT_MAX,
    DUPLICATE_SECONDS_MAX,
    VOLUME_MAX,
    WINDOW_SECONDS_MAX,
    WINDOW_SECONDS_MIN,
    Policy,
    Velocity,
)

DIGITS_MAX = 15

# Whose payments are counted: rule, whose, and the greatest number it may have.
COUNTED = (
    ("card", "One card", COUNT_MAX),
    ("email", "One e-mail address", COUNT_MAX),
    ("address", "One network address", COUNT_MAX),
    ("merchant", "The whole shop", VOLUME_MAX),
)
UNITS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
# Giving an approval back because everything fits makes no sense.
AVS_CHOICES = {each: words for each, words in AVS_WORDS.items() if each is not Avs.MATCH}
CVV_CHOICES = {each: words for each, words in CVV_WORDS.items() if each is not Cvv.MATCH}


def fields_of(policy: Policy, unit: Currency) -> dict[str, str]:
    """
    Return *policy* as the form shows it, amounts as those of *unit*; what is off is empty.
    """
    fields = {"currency": unit.code}
    fields |= {f"avs_{each}": "on" for each in policy.avs_refused}
    fields |= {f"cvv_{each}": "on" for each in policy.cvv_refused}
    fields |= _every("duplicate", policy.duplicate_seconds or None)
    for name, _, _ in COUNTED:
        rule: Velocity | None = getattr(policy, name)
        fields |= _every(name, rule.seconds if rule else None)
        fields[f"{name}_payments"] = _text(rule.payments_max if rule else None)
        amount = rule.amount_minor_max if rule else None
        fields[f"{name}_amount"] = "" if amount is None else decimal_text(amount, unit)
    fields |= _every("declines", policy.declines_seconds if policy.declines_max else None)
    fields["declines_max"] = _text(policy.declines_max or None)
    return fields


def policy_of(
    form: dict[str, str], standing: Policy, unit: Currency
) -> tuple[Policy, dict[str, str]]:
    """
    Return the rules that *form* says, amounts in *unit*, and faults by the names of their fields.

    A result that the form does not offer stays as it stands.
    """
    faults: dict[str, str] = {}
    changes: dict[str, Any] = {
        "avs_refused": tuple(
            each
            for each in Avs
            if f"avs_{each}" in form or (each is Avs.MATCH and each in standing.avs_refused)
        ),
        "cvv_refused": tuple(
            each
            for each in Cvv
            if f"cvv_{each}" in form or (each is Cvv.MATCH and each in standing.cvv_refused)
        ),
        "duplicate_seconds": _seconds(form, "duplicate", 0, DUPLICATE_SECONDS_MAX, faults) or 0,
    }
    for name, _, payments_max in COUNTED:
        changes[name] = _velocity(form, name, payments_max, unit, faults)
    changes |= _declines(form, standing, faults)
    return (standing if faults else msgspec.structs.replace(standing, **changes)), faults


def _velocity(
    form: dict[str, str], name: str, payments_max: int, unit: Currency, faults: dict[str, str]
) -> Velocity | None:
    payments = _number(form, f"{name}_payments", 1, payments_max, faults)
    amount = _amount(form, f"{name}_amount", unit, faults)
    seconds = _seconds(form, name, WINDOW_SECONDS_MIN, WINDOW_SECONDS_MAX, faults)
    asked = any(form.get(f"{name}_{each}", "").strip() for each in ("payments", "amount"))
    if not asked:
        if seconds is not None:
            faults[f"{name}_payments"] = "Write how many payments, or how much, or empty the time."
        return None
    if seconds is None:
        faults.setdefault(f"{name}_every", "Write within what time.")
        return None
    return Velocity(seconds=seconds, payments_max=payments, amount_minor_max=amount)


def _declines(form: dict[str, str], standing: Policy, faults: dict[str, str]) -> dict[str, int]:
    number = _number(form, "declines_max", 1, COUNT_MAX, faults)
    seconds = _seconds(form, "declines", WINDOW_SECONDS_MIN, WINDOW_SECONDS_MAX, faults)
    if number is None:
        if seconds is not None and "declines_max" not in faults:
            faults["declines_max"] = "Write how many declines, or empty the time."
        return {"declines_max": 0, "declines_seconds": standing.declines_seconds}
    if seconds is None:
        faults.setdefault("declines_every", "Write within what time.")
    return {"declines_max": number, "declines_seconds": seconds or standing.declines_seconds}


def _seconds(
    form: dict[str, str], name: str, low: int, high: int, faults: dict[str, str]
) -> int | None:
    """
    Return a time of number and unit in seconds; None when it is empty or a fault.
    """
    field, unit = f"{name}_every", form.get(f"{name}_unit", "")
    number = _number(form, field, 0, high, faults)
    if number is None:
        return None
    if unit not in UNITS:
        faults[field] = "Choose days, hours, minutes or seconds."
        return None
    seconds = number * UNITS[unit]
    if not low <= seconds <= high:
        faults[field] = f"From {_said(low)} to {_said(high)}."
        return None
    return seconds


def _number(
    form: dict[str, str], field: str, low: int, high: int, faults: dict[str, str]
) -> int | None:
    text = form.get(field, "").strip()
    if not text:
        return None
    whole = text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
    if not whole or not low <= int(text) <= high:
        faults[field] = f"Write a whole number from {low} to {high:,}."
        return None
    return int(text)


def _amount(form: dict[str, str], field: str, unit: Currency, faults: dict[str, str]) -> int | None:
    text = form.get(field, "").strip()
    found = amount_or_fault(text, unit) if text else None
    if isinstance(found, str):
        faults[field] = found
        return None
    return found


def _every(name: str, seconds: int | None) -> dict[str, str]:
    if seconds is None:
        return {f"{name}_every": "", f"{name}_unit": "hours"}
    unit, length = next((unit, length) for unit, length in UNITS.items() if seconds % length == 0)
    return {f"{name}_every": str(seconds // length), f"{name}_unit": unit}


def _said(seconds: int) -> str:
    if not seconds:
        return "0"
    unit, length = next((unit, length) for unit, length in UNITS.items() if seconds % length == 0)
    number = seconds // length
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
