#!/bin/sh
# Puts what machines fetch at their start into the private bucket: the secrets of this run, and the programs.
# Usage: ./upload.sh STATE_FOLDER EVENKEEL APPLICATION_FOLDER
#   STATE_FOLDER         the one `evenkeel export` was called with (./.evenkeel): its `identity` is read
#   EVENKEEL             the program for the machines (linux, x86-64)
#   APPLICATION_FOLDER   the file's folder with every program the file names; their paths must be inside of it
# What is secret goes through a pipe: it is in no file, argument or variable on the way.
set -eu
umask 077
if [ $# -ne 3 ]; then
  sed -n '3,6s/^# //p' "$0" >&2
  exit 1
fi
state=$1 program=$2 application=$3
[ -e "$state/identity/authority.pem" ] || { echo "error: no identity in $state" >&2; exit 1; }
[ -x "$program" ] || { echo "error: no program $program" >&2; exit 1; }
[ -e "$application/@FILE@" ] || { echo "error: no @FILE@ in $application" >&2; exit 1; }
bucket=$(@BUCKET@)
put() { @PUT@; }
tar -C "$state" -cz identity | put identity.tar.gz
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/bin"
cp "$program" "$stage/bin/evenkeel"
chmod 755 "$stage/bin" "$stage/bin/evenkeel"
ln -s "$(cd "$application" && pwd)" "$stage/app"
# Not the state folder, which may lie in the application's.
tar -C "$stage" -czh --exclude=.evenkeel --exclude=.git bin app | put release.tar.gz
echo "uploaded; machines that wait for it go on within 15 s"
