"""Measuring frozen towers with labels: nearest neighbours and logistic regression."""
