"""Evaluation: what a network gets right, how sure it is, where it fails, and whether the difference
to another network is real.

`metrics` computes, `evaluate` collects every number in one JSON-able truth, `findings` and
`sentences` put it into words, `plots` and `report` draw it. Only this folder imports matplotlib,
mlxtend and scikit-learn.
"""
