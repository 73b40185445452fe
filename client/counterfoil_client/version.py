"""
The version of this library, as the gateway sees it in `User-Agent`.
"""

__version__ = "0.1.0"
