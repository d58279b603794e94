#!/usr/bin/env bash
# start-rt.sh [PORT] [--fresh]: Request Tracker 5 (Debian's packages) on loopback, SQLite.
# Idempotent; --fresh goes back to the state right after set-up. Prints, and writes to DIR/cred.env: RT_URL, RT_TOKEN.
. "$(dirname "$0")/lib.sh"

given='' fresh=no
for argument in "$@"; do
  case $argument in --fresh) fresh=yes ;; *) given=$argument ;; esac
done
dir=$REAL_DIR/rt
mkdir -p "$dir/site.d" "$dir/mason/data" "$dir/mason/sessions"

DEBCONF='request-tracker5 request-tracker5/dbconfig-install boolean false
exim4-config exim4/dc_eximconfig_configtype select no configuration at this time' \
  need_packages request-tracker5 rt5-db-sqlite starman curl iproute2

[ $fresh = no ] || "$HERE/stop.sh" rt
if is_alive "$dir"; then
  cat "$dir/cred.env"
  exit 0
fi

port=$(pick_port "$dir" "$given")
export RT_SITE_CONFIG=$dir/RT_SiteConfig.pm RT_SITE_CONFIG_DIR=$dir/site.d
cat >"$RT_SITE_CONFIG" <<C
Set(\$rtname, 'real.test');
Set(\$Organization, 'real.test');
Set(\$CorrespondAddress, 'rt\@real.test');
Set(\$CommentAddress, 'rt-comment\@real.test');
Set(\$WebDomain, '127.0.0.1');
Set(\$WebPort, $port);
Set(\$WebPath, '');
Set(\$WebBaseURL, 'http://127.0.0.1:$port');
Set(\$DatabaseType, 'SQLite');
Set(\$DatabaseName, '$dir/data/rt.sqlite3');
Set(\$MailCommand, 'testfile');  # mail goes to a file: nothing leaves the machine
Set(\$Timezone, 'UTC');          # RT reads times in a query in the zone of the API's user
Set(\$LogToSyslog, undef);
Set(\$LogToSTDERR, 'warning');
Set(\$LogToFile, undef);
Set(\$WebSecureCookies, 0);
Set(\$RestrictReferrer, 0);
Set(\$DevelMode, 0);
\$RT::MasonDataDir = '$dir/mason/data';  # not in the package's own folders: no root needed, no other instance disturbed
\$RT::MasonSessionDir = '$dir/mason/sessions';
Set(\$BcryptCost, 4);            # tokens are hashed on every call; RT's own cost of 12 takes 0.65 s each
1;
C

if [ ! -d "$dir/pristine" ]; then
  say 'setting up a database'
  rm -rf "$dir/data"
  mkdir -p "$dir/data"
  rt-setup-database-5 --action init --skip-create >"$dir/setup.log" 2>&1 ||
    rt-setup-database-5 --action init >>"$dir/setup.log" 2>&1 ||
    { tail -n 20 "$dir/setup.log" >&2; exit 1; }
  umask 077
  perl -I/usr/share/request-tracker5/lib -e '
    use RT -init;
    my $root = RT::User->new(RT->SystemUser);
    $root->Load("root");
    my $token = RT::AuthToken->new(RT->SystemUser);
    my ($ok, $message, $secret) = $token->Create(Owner => $root->id, Description => "nivel");
    die "$message\n" unless $ok;
    print $secret;' >"$dir/data/token" 2>>"$dir/setup.log" || { tail -n 20 "$dir/setup.log" >&2; exit 1; }
  keep_pristine "$dir" data
elif [ $fresh = yes ]; then
  restore_pristine "$dir" data
fi

(umask 077; printf 'RT_URL=http://127.0.0.1:%s\nRT_TOKEN=%s\n' "$port" "$(cat "$dir/data/token")" >"$dir/cred.env")
launch "$dir" /usr/share/request-tracker5/libexec/rt-server --server Starman --host 127.0.0.1 --port "$port" --workers 2
await "http://127.0.0.1:$port/REST/2.0/rt" 90 "$dir"
cat "$dir/cred.env"
