"""
Amounts: integer minor units, or a decimal string of a currency; never a float.

How many decimals a currency has is ISO 4217's (list one).
"""

import re

from counterfoil_client.errors import InvalidAmount

AMOUNT_MINOR_MAX = 999_999_999_999  # ISO 8583, DE 4: twelve digits.

_LIMIT = f"an amount is between 1 and {AMOUNT_MINOR_MAX} minor units"

_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?", re.ASCII)

_DECIMALS_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_DECIMALS_3 = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS_2 = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA
MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""

DECIMALS: dict[str, int] = {
    code: decimals
    for decimals, codes in ((0, _DECIMALS_0), (2, _DECIMALS_2), (3, _DECIMALS_3))
    for code in codes.split()
}


def minor_units(amount: int | str, currency: str) -> int:
    """
    Return *amount* in minor units of *currency*: 4200 and "42.00" of USD are both 4200.

    Raises:
        InvalidAmount: Not positive, too large, too many decimals, or an unknown currency.
        TypeError: A float, a bool or anything else; pass an int or a decimal string.
    """
    decimals = _decimals(currency)
    if isinstance(amount, str):
        minor = _from_decimal(amount, currency, decimals)
    elif isinstance(amount, int) and not isinstance(amount, bool):
        minor = amount
    else:
        raise TypeError(
            f"an amount is an int of minor units (4200) or a decimal string ('42.00'), "
            f"never a {type(amount).__name__}"
        )
    if not 1 <= minor <= AMOUNT_MINOR_MAX:
        raise InvalidAmount(_LIMIT)
    return minor


def checked_currency(currency: str) -> str:
    """
    Return *currency* if it is one.

    Raises:
        InvalidAmount: Not an active currency of ISO 4217.
    """
    _decimals(currency)
    return currency


def _decimals(currency: str) -> int:
    try:
        return DECIMALS[currency]
    except (KeyError, TypeError):
        raise InvalidAmount(
            "not an active currency of ISO 4217; write three capital letters, like 'USD'"
        ) from None


def _from_decimal(text: str, currency: str, decimals: int) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None and re.fullmatch(r"[0-9]{13,}(\.[0-9]*)?", text, re.ASCII):
        raise InvalidAmount(_LIMIT)
    if match is None:
        raise InvalidAmount("a decimal amount is digits with at most one point, like '42.00'")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise InvalidAmount(f"{currency} has {decimals} decimals, and the amount has more")
    return int(whole + fraction.ljust(decimals, "0"))
