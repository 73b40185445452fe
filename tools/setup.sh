#!/bin/sh
# Make .venv at the repository's root: the locked packages and our five, editable.
#
# A second run sees from a stamp that nothing changed. The stamp is written last, so what was
# interrupted is made again from the beginning. What it tells goes to standard error, so that what
# a command prints after it stands alone.

set -eu
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.made-from
LOG=$VENV/setup.log
PARTIES="client gateway rail shop proof"
PYTHON_OLDEST="3, 11"

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore PIP_USER=0
unset PYTHONHOME PYTHONPATH

exec >&2

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$@"
    exit 1
}

main() {
    lock_repository
    choose_python
    made_from=$(fingerprint)
    if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$made_from" ] && "$VENV/bin/python" -c ''; then
        say "$VENV is up to date"
        return
    fi
    need_venv_module
    say "1/3 a virtual environment for $("$PYTHON" --version) ($PYTHON)"
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
    choose_cache
    packages=$(grep -c '^[a-z]' requirements/all.txt)
    say "2/3 up to $packages packages, as locked in requirements/all.txt"
    install --no-deps --require-hashes --requirement requirements/all.txt
    say "3/3 our own packages: $PARTIES"
    editable=
    for party in $PARTIES; do editable="$editable --editable ./$party"; done
    # shellcheck disable=SC2086  # One word for each.
    install --no-deps --no-build-isolation $editable
    printf '%s\n' "$made_from" >"$STAMP"
    say "done: $VENV/bin/counterfoil"
}

# Two at once would tear each other's environment down.
lock_repository() {
    if command -v flock >/dev/null; then
        exec 9<.
        flock --nonblock 9 || { say "another setup is running, waiting for it" && flock 9; }
    fi
}

# The interpreter below any activated environment: that one may be what we are about to replace.
choose_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < ($PYTHON_OLDEST))" 2>/dev/null; then
            PYTHON=$("$candidate" -c 'import sys; print(sys._base_executable)')
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no Python that runs"
    fail "Counterfoil needs Python 3.11 or newer; ${PYTHON:-python3} is: $found." \
        "Install one and say: make setup PYTHON=/path/to/python3"
}

# What .venv depends on: the lock, our packages' own lists, this script, the interpreter, the place.
fingerprint() {
    {
        cat requirements/all.txt tools/setup.sh
        for party in $PARTIES; do cat "$party/pyproject.toml"; done
        "$PYTHON" -c 'import sys; print(sys.version, sys.base_prefix)'
        pwd
    } | sha256sum | cut -c 1-64
}

# Debian has the module that puts pip into an environment in a package of its own.
need_venv_module() {
    if "$PYTHON" -c 'import venv; from ensurepip import version' 2>/dev/null; then return; fi
    package=python3-venv
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "0/3 $package, which $PYTHON lacks"
        apt_install "$package"
        "$PYTHON" -c 'import venv; from ensurepip import version' 2>/dev/null && return
    fi
    fail "$PYTHON cannot make virtual environments (no module ensurepip)." \
        "On Debian and Ubuntu: sudo apt-get install --no-install-recommends $package" \
        "Or choose another interpreter: make setup PYTHON=/path/to/python3"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$1" 9<&- || {
        apt-get update -q 9<&-
        apt-get install -y -q --no-install-recommends "$1" 9<&-
    }
}

# pip warns at length about a cache that it cannot write (HOME empty, or somebody else's).
choose_cache() {
    cache=$("$VENV/bin/python" -m pip cache dir 2>/dev/null) || cache=
    if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ] || [ ! -O "$cache" ]; then
        export PIP_NO_CACHE_DIR=1
    fi
}

# Run pip; say every tenth package; show what it wrote only when it failed.
install() {
    {
        "$VENV/bin/python" -m pip install --progress-bar off "$@" 2>&1 || echo "pip failed"
    } | {
        count=0
        while IFS= read -r line; do
            printf '%s\n' "$line" >>"$LOG"
            case $line in
                Collecting* | Processing*)
                    count=$((count + 1))
                    if [ $((count % 10)) = 0 ]; then say "    $count fetched"; fi
                    ;;
                "Installing collected packages"*) say "    installing" ;;
                "pip failed")
                    tail -n 20 "$LOG" >&2
                    fail "pip could not install; the whole of what it said: $LOG"
                    ;;
            esac
        done
    }
}

main
