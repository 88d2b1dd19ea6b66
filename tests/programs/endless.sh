#!/bin/sh
# Writes five gigabytes, with a start and an end that can be told apart from the rest.
echo START
head -c 5000000000 /dev/zero
echo END
