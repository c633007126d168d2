"""Referring segmentation: a picture and a phrase in, a mask out."""
