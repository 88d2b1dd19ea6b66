"""``python -m leyline.cli``."""

from leyline.cli import main

main()
