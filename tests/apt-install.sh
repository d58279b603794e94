#!/usr/bin/env bash
# apt-install.sh [sudo …] -- PACKAGE…: installs Debian packages without starting their services.
# DEBCONF may hold answers to the questions of packages, as debconf-set-selections reads them.
set -euo pipefail

as_root=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  as_root+=("$1")
  shift
done
shift

# Debian starts a daemon as it installs it, unless this file says no. It is ours only if it was not there before.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

# Another apt may be at work (a fresh machine updates itself): wait for its lock rather than fail.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600)
log=$(mktemp)
[ -z "${DEBCONF:-}" ] || printf '%s\n' "$DEBCONF" | "${as_root[@]}" debconf-set-selections 2>/dev/null || true
if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
  echo "apt-get failed; its last lines:" >&2
  tail -n 20 "$log" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
