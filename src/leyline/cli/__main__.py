"""``python -m leyline.cli``."""

from leyline_main import main

main()
