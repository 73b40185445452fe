"""
The headers of payment pages: what a browser may load, run and tell, and what it keeps to itself.

The web process sends them, and the worker's look compares with them what arrives (PCI DSS 11.6.1).
A script runs if its hash is one of the inventory's and stands in its tag; no other does, whoever
serves it. A form is answered with a redirect to the page itself, and back to the shop leads a
link: so `form-action` needs no other site. Nobody shows a payment page in a frame. What a browser
refuses it reports to REPORTS: those that know no `report-to` use `report-uri`.
"""

from collections.abc import Iterable

from counterfoil.checkouts.inventory import of_payment_pages

REPORTS = "/reports"
SPECIMEN = "/c/specimen"  # Made like every payment page, for the look: nothing is paid there.


def policy_of(hashes: Iterable[str]) -> str:
    """
    Return the content security policy of payment pages that run scripts of these *hashes* only.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(repr(each) for each in hashes) or repr('none')}",
            "style-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
            f"report-uri {REPORTS}",
            "report-to pages",
        )
    )


HEADERS = {
    "Content-Security-Policy": policy_of(
        each.integrity for each in of_payment_pages() if each.is_script
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Integrity-Policy": "blocked-destinations=(script), endpoints=(pages)",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "Reporting-Endpoints": f'pages="{REPORTS}"',
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
