"""The ``stagetree`` sweeper: searches on any Hydra launcher, for any Hydra app."""
