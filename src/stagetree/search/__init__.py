"""Searching: the study, its space, samplers and pruners, and the workers that run trials."""
