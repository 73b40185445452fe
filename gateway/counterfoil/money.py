"""
Money: integer minor units and a currency, never a float.

Amounts of different currencies cannot be added. Exponents and numeric codes are
those of ISO 4217 (list one); DE 49 carries the numeric code, DE 4 the minor units.
"""

import msgspec

AMOUNT_MINOR_MAX = 999_999_999_999  # DE 4 has twelve digits.
MINUS = "\N{MINUS SIGN}"


class Currency(msgspec.Struct, frozen=True):
    """
    A currency of ISO 4217: letters, three-digit number, and how many decimals it has.
    """

    code: str
    number: str
    exponent: int


class UnknownCurrency(ValueError):
    """
    Three letters or digits that ISO 4217's list of active currencies does not hold.
    """


class Money(msgspec.Struct, frozen=True):
    """
    An amount in minor units of one currency.
    """

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        """
        Refuse what DE 4 could not carry.
        """
        if type(self.minor) is not int:
            raise TypeError("an amount is an integer of minor units, never a float")
        if abs(self.minor) > AMOUNT_MINOR_MAX:
            raise ValueError(f"an amount has at most {AMOUNT_MINOR_MAX} minor units")

    def __add__(self, other: "Money") -> "Money":
        """
        Return the sum, of one currency.
        """
        self._same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        """
        Return the difference, of one currency.
        """
        self._same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def __str__(self) -> str:
        """
        Return the amount as people write it: `42.00 USD`.
        """
        return f"{decimal_text(self.minor, self.currency)} {self.currency.code}"

    def _same_currency(self, other: "Money") -> None:
        if self.currency is not other.currency and self.currency != other.currency:
            raise ValueError(f"cannot combine {self.currency.code} with {other.currency.code}")


def decimal_text(minor: int, currency: Currency) -> str:
    """
    Return *minor* units with the currency's decimals: 4200 of USD is `42.00`.
    """
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(currency.exponent + 1, "0")
    if currency.exponent == 0:
        return sign + digits
    return f"{sign}{digits[: -currency.exponent]}.{digits[-currency.exponent :]}"


def grouped_text(minor: int, currency: Currency) -> str:
    """
    Return *minor* units as people read them: 123456 of USD is `1,234.56`, a negative one has a
    minus sign.
    """
    whole, point, part = decimal_text(abs(minor), currency).partition(".")
    return f"{MINUS if minor < 0 else ''}{int(whole):,}{point}{part}"


def amount_text(minor: int, code: str) -> str:
    """
    Return an amount as people read it: `1,234.56 USD`, a negative one with a minus sign.
    """
    return f"{grouped_text(minor, currency(code))} {code}"


def currency(code: str) -> Currency:
    """
    Return the currency with these three capital letters.

    Raises:
        UnknownCurrency: It is not on the list.
    """
    try:
        return CURRENCIES[code]
    except KeyError:
        raise UnknownCurrency("not an active currency of ISO 4217") from None


def currency_of_number(number: str) -> Currency:
    """
    Return the currency with this three-digit number (DE 49).

    Raises:
        UnknownCurrency: It is not on the list.
    """
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise UnknownCurrency("not a numeric code of ISO 4217") from None


# Letters, number, exponent: ISO 4217 list one, without funds, metals and test codes.
_LIST = """
AED 784 2 AFN 971 2 ALL 008 2 AMD 051 2 AOA 973 2 ARS 032 2 AUD 036 2 AWG 533 2 AZN 944 2
BAM 977 2 BBD 052 2 BDT 050 2 BHD 048 3 BIF 108 0 BMD 060 2 BND 096 2 BOB 068 2 BRL 986 2
BSD 044 2 BTN 064 2 BWP 072 2 BYN 933 2 BZD 084 2 CAD 124 2 CDF 976 2 CHF 756 2 CLP 152 0
CNY 156 2 COP 170 2 CRC 188 2 CUP 192 2 CVE 132 2 CZK 203 2 DJF 262 0 DKK 208 2 DOP 214 2
DZD 012 2 EGP 818 2 ERN 232 2 ETB 230 2 EUR 978 2 FJD 242 2 FKP 238 2 GBP 826 2 GEL 981 2
GHS 936 2 GIP 292 2 GMD 270 2 GNF 324 0 GTQ 320 2 GYD 328 2 HKD 344 2 HNL 340 2 HTG 332 2
HUF 348 2 IDR 360 2 ILS 376 2 INR 356 2 IQD 368 3 IRR 364 2 ISK 352 0 JMD 388 2 JOD 400 3
JPY 392 0 KES 404 2 KGS 417 2 KHR 116 2 KMF 174 0 KPW 408 2 KRW 410 0 KWD 414 3 KYD 136 2
KZT 398 2 LAK 418 2 LBP 422 2 LKR 144 2 LRD 430 2 LSL 426 2 LYD 434 3 MAD 504 2 MDL 498 2
MGA 969 2 MKD 807 2 MMK 104 2 MNT 496 2 MOP 446 2 MRU 929 2 MUR 480 2 MVR 462 2 MWK 454 2
MXN 484 2 MYR 458 2 MZN 943 2 NAD 516 2 NGN 566 2 NIO 558 2 NOK 578 2 NPR 524 2 NZD 554 2
OMR 512 3 PAB 590 2 PEN 604 2 PGK 598 2 PHP 608 2 PKR 586 2 PLN 985 2 PYG 600 0 QAR 634 2
RON 946 2 RSD 941 2 RUB 643 2 RWF 646 0 SAR 682 2 SBD 090 2 SCR 690 2 SDG 938 2 SEK 752 2
SGD 702 2 SHP 654 2 SLE 925 2 SOS 706 2 SRD 968 2 SSP 728 2 STN 930 2 SVC 222 2 SYP 760 2
SZL 748 2 THB 764 2 TJS 972 2 TMT 934 2 TND 788 3 TOP 776 2 TRY 949 2 TTD 780 2 TWD 901 2
TZS 834 2 UAH 980 2 UGX 800 0 USD 840 2 UYU 858 2 UZS 860 2 VED 926 2 VES 928 2 VND 704 0
VUV 548 0 WST 882 2 XAF 950 0 XCD 951 2 XCG 532 2 XOF 952 0 XPF 953 0 YER 886 2 ZAR 710 2
ZMW 967 2 ZWG 924 2
"""


def _read_list() -> dict[str, Currency]:
    words = iter(_LIST.split())
    return {code: Currency(code, next(words), int(next(words))) for code in words}


CURRENCIES = _read_list()
_BY_NUMBER = {each.number: each for each in CURRENCIES.values()}
