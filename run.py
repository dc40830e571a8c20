"""Run one pipeline, or search over many: ``python run.py --help`` shows how."""

from pathlib import Path

from stagetree.app import main
from stagetree.core import project

if __name__ == "__main__":
    project.set_root(Path(__file__).resolve().parent)
    main()
