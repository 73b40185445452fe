#!/bin/sh
# See to it that PDFs of receipts and reports can be made: WeasyPrint needs Pango of the system.
#
# Root gets it installed. An ordinary user is told the command, once; everything else works without.

set -eu
cd "$(dirname "$0")/.."

PACKAGES="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
COMMAND="apt-get install --no-install-recommends $PACKAGES"
TRIED=.venv/.pango-tried

exec >&2  # What a command prints after it stands alone on standard output.

say() { printf 'pango: %s\n' "$*"; }

is_there() {
    .venv/bin/python -c 'from ctypes import CDLL
for name in "libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0": CDLL(name)' 2>/dev/null
}

if [ -e "$TRIED" ] || is_there; then exit 0; fi
touch "$TRIED"

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $PACKAGES"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # One word for each.
    apt-get install -y -q --no-install-recommends $PACKAGES || {
        apt-get update -q || say "apt-get update failed, going on with the lists there are"
        apt-get install -y -q --no-install-recommends $PACKAGES || say "apt-get install failed"
    }
fi

if is_there; then exit 0; fi
say "Pango is missing: no PDFs of receipts and reports. To install it: sudo $COMMAND"
