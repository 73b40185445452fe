"""
What can be done with a payment after its confirmation: one function for each command.
"""

from counterfoil.payments.capture import capture
from counterfoil.payments.commands import Command, Done
from counterfoil.payments.refund import refund
from counterfoil.payments.undo import undo
from counterfoil.payments.void import void

__all__ = ["Command", "Done", "capture", "refund", "undo", "void"]
