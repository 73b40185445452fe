"""
`python -m counterfoil_rail` is the command `counterfoil-rail`.
"""

from counterfoil_rail.cli import main

main()
