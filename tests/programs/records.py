#!/usr/bin/env python3
"""Plays any tool: writes what it was given to the file $RECORD, then prints $ANSWER."""

import json
import os
import sys

given = {"argv": sys.argv, "stdin": sys.stdin.buffer.read().decode(), "env": dict(os.environ)}
with open(os.environ["RECORD"], "w") as file:
    json.dump(given, file)
sys.stderr.write(os.environ.get("COMPLAINT", ""))
sys.stdout.write(os.environ.get("ANSWER", "fine"))
