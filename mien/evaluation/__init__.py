"""Evaluation: accuracy, calibration, errors, and significance of the difference between networks.

`metrics` computes, `evaluate` collects all numbers in one dict for JSON, `findings` and `sentences`
turn them into text, `plots` and `report` draw them. Only this folder imports matplotlib, mlxtend
and scikit-learn.
"""
