#!/usr/bin/env bash
# Installs what this machine lacks, and says so. Debian and its children; as root, or through sudo without a password.
#   tests/setup.sh build   what compiling needs
#   tests/setup.sh test    that, and what the tests start for themselves (Redis, PostgreSQL, MariaDB, Python, Node, sshd)
# Nothing it installs is started as a service: the tests start their own servers, on ports of their own.
set -euo pipefail

case "${1:-}" in
  build) wanted=(cc:gcc cc:libc6-dev) ;;
  test) wanted=(cc:gcc cc:libc6-dev redis-server:redis-server python3:python3 curl:curl ss:iproute2 node:nodejs npm:npm sshd:openssh-server ssh-keygen:openssh-client openssl:openssl pg_ctlcluster:postgresql mariadbd:mariadb-server) ;;
  *) echo "usage: tests/setup.sh build|test" >&2; exit 2 ;;
esac

command -v cargo >/dev/null || {
  echo "setup: cargo is missing; install a Rust toolchain (1.91 or newer) first" >&2
  exit 1
}

# A thing is missing when its program is not on the path; the package is only the way to get it.
PATH=$PATH:/usr/sbin
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "$1" = test ] && ! python3 -c 'import ensurepip' 2>/dev/null; then
  missing+=(python3-venv)
fi
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: nothing to install"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "setup: please install, as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
command -v apt-get >/dev/null || {
  echo "setup: no apt-get here; please install what corresponds to: ${missing[*]}" >&2
  exit 1
}

echo "setup: installing ${missing[*]} (apt-get)"
"$(dirname "$0")/apt-install.sh" "${as_root[@]}" -- "${missing[@]}"
