"""
What went wrong in a sentence for people, and no defect: a command prints it, without a traceback.
"""


class SaidPlainly(Exception):
    """
    Its message says what happened, what was expected and what to do.
    """
