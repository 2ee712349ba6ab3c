"""Measurements, printed as ratios of pairs in one run; none of them is a test."""
