"""``python -m leyline.local``."""

from leyline.local import main

if __name__ == "__main__":
    main()
