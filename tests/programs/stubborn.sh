#!/bin/sh
# Ignores SIGTERM, and so do its two descendants: one in its group, one in a session of its own.
# Writes the three process ids to the file $1, then waits.
trap '' TERM
sleep 600 &
inside=$!
setsid sleep 601 &
outside=$!
echo "$$ $inside $outside" > "$1.part"
mv "$1.part" "$1"
wait
wait
