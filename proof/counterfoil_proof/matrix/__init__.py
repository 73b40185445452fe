"""
The SIGKILL matrix: every scenario, every pass of every point, on real processes.
"""
