#!/bin/sh
# Run in a clean Debian without a service manager: installs the packages, uses the programs, removes and purges them.
# Each line it prints is a thing that was seen; the first thing that isn't so ends it.
set -eu
cd /
umask 022

said() { printf 'seen: %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
here() { for path in "$@"; do [ -e "$path" ] || fail "$path is missing"; done; }
gone() { for path in "$@"; do [ ! -e "$path" ] && [ ! -L "$path" ] || fail "$path is still there"; done; }

# Everything on the disk but what any package leaves: dpkg's own book-keeping.
list() {
    find / -xdev \( -path /proc -o -path /dev -o -path /tmp -o -path /packages -o -path /var/lib/dpkg -o -path /var/log \
        -o -path /var/cache -o -path /var/lib/apt -o -path /home -o -path /run \) -prune -o -print | sort
}

list >/tmp/before

apt-get install -q -y --no-install-recommends /packages/*.deb >/tmp/apt 2>&1 || { cat /tmp/apt; fail 'apt does not install them'; }
said "apt installs both; every dependency is in a minimal Debian: $(dpkg-query -W -f '${Package} ${Version}, ' parsec parsec-metadata)"

for unit in parsecd.socket parsecd-plugin.socket; do
    here "/etc/systemd/user/sockets.target.wants/$unit"
done
gone /etc/systemd/user/default.target.wants/parsecd.service
here /etc/systemd/user/parsecd.service.wants/parsec-mounts.service
here /etc/systemd/system/multi-user.target.wants/parsec-metadata.service /etc/parsec/metadata.toml
id parsec-metadata >/dev/null || fail 'there is no user for the server'
[ "$(getent passwd parsec-metadata | cut -d: -f7)" = /usr/sbin/nologin ] || fail 'somebody can log in as the server'
said 'sockets enabled for every user, the daemon for nobody; the server enabled, with a user that cannot log in'

[ -z "$(dpkg --verify parsec parsec-metadata)" ] || fail 'files differ from what the packages say'
wrong=$(dpkg -L parsec parsec-metadata | sort -u | xargs stat -c '%F %U:%G %a %n' | grep -v -E '^(regular file root:root (644|755)|directory root:root 755|symbolic link root:root 777) ' || :)
[ -z "$wrong" ] || fail "owner or mode: $wrong"
said 'every file is as packed, belongs to root, and only root may write it'

useradd --create-home alice
XDG_RUNTIME_DIR=/tmp/alice
export XDG_RUNTIME_DIR
mkdir -m 700 "$XDG_RUNTIME_DIR" && chown alice "$XDG_RUNTIME_DIR"
as() { who=$1; shift; runuser -u "$who" -- env HOME="/home/$who" "$@"; }

install -d -m 700 -o parsec-metadata /var/lib/parsec-metadata
mkfifo -m 666 /tmp/server-ready /tmp/alice-ready
as parsec-metadata parsec-metadata serve --config /etc/parsec/metadata.toml --create --database /var/lib/parsec-metadata/db.sqlite \
    --listen 127.0.0.1:0 --ready-fd 1 >/tmp/server-ready 2>/tmp/server-log &
server=$!
as alice parsecd --ready-fd 1 >/tmp/alice-ready 2>/tmp/alice-log &
daemon=$!
# A program that ends instead closes its end, and the line is empty.
read -r address </tmp/server-ready || fail "the server does not start: $(cat /tmp/server-log)"
read -r _ </tmp/alice-ready || fail "the daemon does not start: $(cat /tmp/alice-log)"
token=$(as parsec-metadata parsec-metadata organisation create acme --database /var/lib/parsec-metadata/db.sqlite | grep -o -E '[0-9a-f]{64}')
# In files of her own: a pipe that root made can't be opened anew by somebody else.
printf '%s\n' 'alice walks seven dogs' >/tmp/alice/password
printf '%s\n' "$token" >/tmp/alice/token
chown alice /tmp/alice/password /tmp/alice/token
as alice parsecctl org bootstrap --json --server "http://${address#http://}" --organisation acme --email alice@acme.example --name Alice \
    --device-label laptop --token-file /tmp/alice/token --password-file /tmp/alice/password >/tmp/said || fail "no organisation: $(cat /tmp/said)"
as alice parsecctl trust verify --json | grep -q '"count":2' || fail 'no chain of two'
said 'the installed programs found an organisation and verify its log'
kill "$daemon" "$server"
wait "$daemon" "$server" || :

# A web page chooses the link. What is none is refused before a terminal is looked for, of which there is none here (69).
handler() {
    code=0
    as alice /usr/libexec/parsec/claim-link "$1" 2>/dev/null || code=$?
    [ "$code" = "$2" ] || fail "the handler of links says $code to $1"
}
handler 'parsec://parsec.example.org/acme#hAEA' 69
for bad in '' 'https://x' 'parsec:x' 'parsec://' 'parsec://x y' "$(printf 'parsec://x\n-e')" "$(printf 'parsec://\303\251')" \
    "parsec://$(head -c 2100 /dev/zero | tr '\0' a)"; do
    handler "$bad" 65
done
[ -z "$(find /tmp/alice -name 'parsec-link*')" ] || fail 'the handler left a link behind'
said 'the handler of links refuses what is no link, and leaves nothing behind'

parsecctl completion bash >/tmp/bash
cmp -s /tmp/bash /usr/share/bash-completion/completions/parsecctl || fail 'bash would complete otherwise than parsecctl says'
here /usr/share/zsh/vendor-completions/_parsecctl /usr/share/fish/vendor_completions.d/parsecctl.fish
here /usr/share/man/man1/parsecctl.1.gz /usr/share/man/man1/parsecd.1.gz /usr/share/man/man8/parsec-metadata.8.gz
said 'shells find the completions, man the pages'

dpkg --remove parsec parsec-metadata >/dev/null 2>&1 || fail 'they are not removed'
gone /usr/bin/parsecd /usr/bin/parsecctl /usr/bin/parsec-metadata
here /etc/parsec/metadata.toml
here /home/alice/.local/share/parsec
apt-get install -q -y --no-install-recommends /packages/*.deb >/dev/null 2>&1 || fail 'they are not installed again'
systemctl --global --quiet disable parsecd-plugin.socket
dpkg-reconfigure parsec
gone /etc/systemd/user/sockets.target.wants/parsecd-plugin.socket
here /etc/systemd/user/sockets.target.wants/parsecd.socket
said 'removed and installed again; what an administrator turned off stays off'

dpkg --purge parsec parsec-metadata >/tmp/purge 2>&1 || { cat /tmp/purge; fail 'they are not purged'; }
grep -q '/var/lib/parsec-metadata' /tmp/purge || fail 'nobody is told where the log is kept'
here /var/lib/parsec-metadata/db.sqlite /home/alice/.local/share/parsec
list >/tmp/after
left=$(diff /tmp/before /tmp/after | grep '^[<>]' | grep -v -E '^> /var/lib/parsec-metadata(/db.sqlite.*)?$' | grep -v -E '/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?$' || :)
[ -z "$left" ] || fail "left after a purge, or taken too much: $left"
said 'purged: nothing is left but the log of the organisations and the homes'
echo 'all seen'
