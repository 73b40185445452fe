#!/bin/sh
# See to it that the tests of the pages have a browser: Debian's Chromium.
#
# Root gets it installed. An ordinary user is told the command, and those tests skip; under CI
# (CI=1 or CI=true) a missing browser is a failure.

set -eu

BROWSER=/usr/bin/chromium
COMMAND="apt-get install --no-install-recommends chromium"

say() { printf 'browser: %s\n' "$*"; }

if [ -x "$BROWSER" ]; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing chromium"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q || say "apt-get update failed, going on with the lists there are"
    apt-get install -y -q --no-install-recommends chromium || say "apt-get install failed"
fi

if [ -x "$BROWSER" ]; then exit 0; fi

say "$BROWSER is missing. To install it: sudo $COMMAND"
case ${CI:-} in
    1 | true) exit 1 ;;
    *) say "the tests of the pages will be skipped" ;;
esac
