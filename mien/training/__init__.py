"""Training: the only folder that imports keras and tensorflow, and only inside functions' modules
that need them.
"""
