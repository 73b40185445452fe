"""
Files that a page offers: a table for a spreadsheet, a document to keep.
"""

from starlette.responses import Response


def csv_file(text: str, name: str) -> Response:
    """
    Return *text* as a CSV file of this *name*, which a spreadsheet reads as UTF-8.
    """
    return _file(("\N{BYTE ORDER MARK}" + text).encode(), "text/csv; charset=utf-8", f"{name}.csv")


def _file(content: bytes, kind: str, name: str) -> Response:
    plain = "".join(
        each if each.isascii() and (each.isalnum() or each in "-._") else "-" for each in name
    )
    headers = {"Content-Disposition": f'attachment; filename="{plain}"'}
    return Response(content, media_type=kind, headers=headers)
