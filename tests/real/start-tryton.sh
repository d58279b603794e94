#!/usr/bin/env bash
# start-tryton.sh [PORT] [--fresh]: Tryton 8.2 (Python packages) on loopback, SQLite, database "crm".
# Idempotent; --fresh goes back to the state right after set-up. Prints, and writes to DIR/cred.env: TRYTON_URL, TRYTON_KEY.
. "$(dirname "$0")/lib.sh"

given='' fresh=no
for argument in "$@"; do
  case $argument in --fresh) fresh=yes ;; *) given=$argument ;; esac
done
dir=$REAL_DIR/tryton
mkdir -p "$dir"
series=8.2
venv=$SOFTWARE/tryton-$series

need_packages curl iproute2
if [ ! -e "$venv/installed" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
  say 'installing Tryton (pip, about two minutes)'
  rm -rf "$venv"
  python3 -m venv "$venv"
  packages=()
  for package in trytond trytond_party trytond_sale_opportunity; do packages+=("$package~=$series.0"); done
  "$venv/bin/pip" install -q --disable-pip-version-check "${packages[@]}" >"$dir/pip.log" 2>&1 ||
    { tail -n 20 "$dir/pip.log" >&2; exit 1; }
  touch "$venv/installed"
fi

[ $fresh = no ] || "$HERE/stop.sh" tryton
if is_alive "$dir"; then
  cat "$dir/cred.env"
  exit 0
fi

port=$(pick_port "$dir" "$given")
cat >"$dir/trytond.conf" <<C
[database]
uri = sqlite://
path = $dir/data
[web]
listen = 127.0.0.1:$port
[session]
authentications = password
[email]
uri = smtp://127.0.0.1:9
C

if [ ! -d "$dir/pristine" ]; then
  say 'setting up a database'
  rm -rf "$dir/data"
  mkdir -p "$dir/data"
  touch "$dir/data/crm.sqlite"
  (umask 077; printf 'real-tools-%s' "$RANDOM$RANDOM$RANDOM" >"$dir/password")
  admin() { "$venv/bin/trytond-admin" -c "$dir/trytond.conf" -d crm "$@" >>"$dir/setup.log" 2>&1; }
  { TRYTONPASSFILE=$dir/password admin --all --email admin@real.test -p &&
    admin -u party sale_opportunity --activate-dependencies; } || { tail -n 20 "$dir/setup.log" >&2; exit 1; }
  umask 077
  "$venv/bin/python" -W ignore - "$dir/trytond.conf" crm >"$dir/data/key" <<'P'
import sys

from trytond.config import config

config.update_etc(sys.argv[1])
from trytond.pool import Pool
from trytond.transaction import Transaction

Pool.start()
pool = Pool(sys.argv[2])
with Transaction().start(sys.argv[2], 0):
    pool.init()
with Transaction().start(sys.argv[2], 1) as transaction:
    Application = pool.get('res.user.application')
    # Opportunities belong to a company; one that is followed up has an employee.
    euro, = pool.get('currency.currency').create([{'name': 'Euro', 'code': 'EUR', 'symbol': 'EUR'}])
    Party = pool.get('party.party')
    owner, seller = Party.create([{'name': 'Our Company'}, {'name': 'Sam Seller'}])
    company, = pool.get('company.company').create([{'party': owner.id, 'currency': euro.id}])
    pool.get('company.employee').create([{'party': seller.id, 'company': company.id}])
    User = pool.get('res.user')
    User.write([User(1)], {'companies': [('add', [company.id])]})
    User.write([User(1)], {'company': company.id})
    application, = Application.create([{'user': 1, 'application': 'rest'}])
    Application.write([application], {'state': 'validated'})
    transaction.commit()
    print(application.key)
P
  keep_pristine "$dir" data
elif [ $fresh = yes ]; then
  restore_pristine "$dir" data
fi

(umask 077; printf 'TRYTON_URL=http://127.0.0.1:%s/crm\nTRYTON_KEY=%s\n' "$port" "$(tail -n 1 "$dir/data/key")" >"$dir/cred.env")
launch "$dir" "$venv/bin/trytond" -c "$dir/trytond.conf" -d crm
await "http://127.0.0.1:$port/" 90 "$dir"
cat "$dir/cred.env"
