#!/usr/bin/env bash
# stop.sh [NAME…]: ends the instances (all of them when none is named) by the pids their start scripts wrote.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- rt tryton ghost
for name in "$@"; do
  dir=$REAL_DIR/$name
  [ -s "$dir/pid" ] || continue
  if is_alive "$dir"; then
    pid=$(cat "$dir/pid")
    kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      is_alive "$dir" || break
      sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
    say "$name ended"
  fi
  rm -f "$dir/pid"
done
