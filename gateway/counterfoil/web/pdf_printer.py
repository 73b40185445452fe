"""
The child process that makes one PDF: HTML on its input, the PDF on its output.

It gives way to everything else, fetches nothing from anywhere (only `data:` of the page itself),
and has an end of its own, should its parent die.
"""

import os
import resource
import sys
import warnings

MISSING = 3  # Exit code: WeasyPrint or Pango is not there.
CPU_SECONDS_MAX = 40
MEMORY_BYTES_MAX = 2 * 1024**3
NICENESS = 10


def main() -> int:
    """
    Make the PDF; return the exit code.
    """
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    page = sys.stdin.buffer.read().decode()
    warnings.simplefilter("ignore")
    try:
        from weasyprint import HTML  # Slow to load, and not everywhere.
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError):
        return MISSING
    fetcher = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    document = HTML(string=page, base_url=None, url_fetcher=fetcher).render(pdf_tags=True)
    document.write_pdf(sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
