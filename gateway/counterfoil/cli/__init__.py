"""
The commands: one file for each noun, and `main`, which puts them together.
"""
