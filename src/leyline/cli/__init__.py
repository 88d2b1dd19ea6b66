"""The program ``leyline``: one file a command. The only room that knows a terminal."""
