"""Judging: what a network gets right, how sure it is, where it fails, and whether the difference to
another is real.

`metrics` computes, `evaluate` gathers everything into one JSON-able truth, `words` turns its
numbers into sentences, `plots` and `report` draw it. The only folder that imports matplotlib,
mlxtend and scikit-learn.
"""
