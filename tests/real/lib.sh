# shellcheck shell=bash disable=SC2034
# Sourced by start-*.sh: where things lie, ports, and processes that are known by their pid.
#   $NIVEL_REAL_DIR (default: target/real)   software/ what was installed, NAME/ one instance of a tool
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
REAL_DIR=${NIVEL_REAL_DIR:-$ROOT/target/real}
mkdir -p "$REAL_DIR/software"
REAL_DIR=$(cd "$REAL_DIR" && pwd)
SOFTWARE=$REAL_DIR/software

say() { echo "$(basename "$0" .sh): $*" >&2; }

# need_packages PACKAGE…: what is missing is installed; DEBCONF may hold answers to its questions.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || { say "please install, as root: apt-get install ${missing[*]}"; exit 1; }
    as_root=(sudo -n)
  fi
  say "installing ${missing[*]} (apt-get)"
  "$ROOT/tests/apt-install.sh" "${as_root[@]}" -- "${missing[@]}"
}

is_alive() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }
is_free() { ! ss -ltnH "sport = :$1" | grep -q .; }

# pick_port DIR [GIVEN]: the given port, else the one this instance had, else any free one; remembered in DIR/port.
pick_port() {
  local dir=$1 port=${2:-}
  [ -n "$port" ] || port=$(cat "$dir/port" 2>/dev/null || true)
  if [ -z "$port" ] || { [ -z "${2:-}" ] && ! is_free "$port"; }; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  fi
  is_free "$port" || { say "port $port is taken"; exit 1; }
  echo "$port" >"$dir/port"
  echo "$port"
}

# launch DIR COMMAND…: a process group of its own, its leader's pid in DIR/pid, its output in DIR/log.
launch() {
  local dir=$1
  shift
  setsid nohup "$@" >>"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
}

# await URL SECONDS DIR: until the tool answers at all, or its process is gone, or time is up.
await() {
  local end=$((SECONDS + $2))
  until curl -s -o /dev/null -m 5 "$1"; do
    is_alive "$3" || { say "the process ended; see $3/log"; tail -n 5 "$3/log" >&2; exit 1; }
    [ $SECONDS -lt $end ] || { say "no answer from $1 within $2 s; see $3/log"; exit 1; }
    sleep 0.2
  done
}

# keep_pristine DIR NAME… / restore_pristine DIR NAME…: the state right after set-up, so that a test starts clean.
keep_pristine() {
  local dir=$1 name
  shift
  rm -rf "$dir/pristine.new"
  mkdir -p "$dir/pristine.new"
  for name in "$@"; do cp -a "$dir/$name" "$dir/pristine.new/"; done
  mv "$dir/pristine.new" "$dir/pristine"
}
restore_pristine() {
  local dir=$1 name
  shift
  for name in "$@"; do
    rm -rf "${dir:?}/$name"
    cp -a "$dir/pristine/$name" "$dir/"
  done
}
