"""Every AI command-line tool behind one ``await``."""
