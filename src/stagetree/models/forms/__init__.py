"""Runners, one module a model form."""
