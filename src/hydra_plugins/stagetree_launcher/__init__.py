"""Launchers: one operating-system process a job, on this machine or on a Ray cluster."""
