"""The ``local`` launcher: one operating-system process a job, on this machine."""
