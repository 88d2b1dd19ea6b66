#!/bin/sh
# Ends at once, but leaves a child behind that keeps the standard streams open.
# Writes the child's process id to the file $1.
sleep 12 &
echo "$!" > "$1"
echo answer
