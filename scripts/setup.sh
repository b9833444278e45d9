# shellcheck shell=bash
# Sourced by the scripts in this folder: finds Python 3.11, makes or reuses .venv, finds or
# installs mosquitto and chromium. Writes to stderr only; stdout belongs to the script.

root=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/edgeferry-installed    # what the last finished installation was made from
unfinished=$venv/edgeferry-unfinished # there while an installation runs, so also after one that was killed
constraints=$root/constraints/py311.txt

unset PYTHONHOME PYTHONPATH CDPATH # another Python's folders would be searched before our own
PATH=$PATH:/usr/sbin:/sbin         # mosquitto lives there on Debian, and only root's PATH names it

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# A pyenv shim can exist and still fail, so each candidate is run, not only looked up.
is_python_311() {
    "$1" -I -c 'import sys, ssl, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' </dev/null >/dev/null 2>&1
}

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        is_python_311 "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 with venv: name another, or unset it."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3.11 python3 python /usr/bin/python3.11 /usr/local/bin/python3.11 \
        "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/3.11*/bin/python \
        "${HOME:-/nonexistent}"/.local/share/uv/python/cpython-3.11*/bin/python3.11; do
        if is_python_311 "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "No Python 3.11 with venv found: install it (Debian 12: sudo apt-get install python3.11 python3.11-venv)," \
        "or say where it is with PYTHON=/path/to/python3.11."
}

# What an installation depends on; the checkout's path too, as a .venv cannot be moved.
recipe_of_venv() {
    printf 'from %s\nat %s\n' "$(cat -- "$root/pyproject.toml" "$constraints" | sha256sum)" "$root"
}

has_extras() {
    local extra
    for extra in "$@"; do
        grep -qsx "with $extra" "$stamp" || return 1
    done
}

venv_is_current() {
    [[ -e $stamp && ! -e $unfinished && $(head -n 2 -- "$stamp") == "$(recipe_of_venv)" ]] || return 1
    has_extras "$@" && "$venv/bin/python" -I -c 'pass' >/dev/null 2>&1
}

# A .venv made by hand is kept and completed; one that is incomplete, moved or has lost
# its Python is replaced.
venv_is_usable() {
    [[ ! -e $unfinished ]] && is_python_311 "$venv/bin/python" &&
        "$venv/bin/python" -I -m pip --version >/dev/null 2>&1 &&
        { [[ ! -e $stamp ]] || grep -qxF "at $root" "$stamp"; }
}

explain_failed_install() {
    local log=$1
    if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Network is unreachable' "$log"; then
        say "The package index does not answer: check the network, then run this again."
    elif grep -qi 'No space left on device' "$log"; then
        say "The disk is full: make room (about 3 GB), then run this again."
    else
        tail -n 5 -- "$log" >&2
    fi
    die "Could not install into $venv; the full output is in $log"
}

install_into_venv() {
    local extras log
    extras=$(IFS=,; printf '%s' "$*")
    log=$(mktemp "${TMPDIR:-/tmp}/edgeferry-install-XXXXXX.log")
    if venv_is_usable; then
        say "Bringing .venv up to date…"
    else
        local python
        python=$(find_python) || exit 1
        [[ ! -e $venv ]] || say "The .venv here is incomplete, moved or not of Python 3.11: replacing it."
        say "Making .venv (about a minute, once)…"
        rm -rf -- "$venv"
        mkdir -- "$venv" && : >"$unfinished"
        "$python" -m venv "$venv" </dev/null >"$log" 2>&1 || explain_failed_install "$log"
    fi
    : >"$unfinished"
    # as a module: a program's first line may name a path that is too long, or that has moved
    PIP_USER=no "$venv/bin/python" -m pip install --no-input --disable-pip-version-check -c "$constraints" \
        -e "${root}[$extras]" </dev/null >>"$log" 2>&1 || explain_failed_install "$log"
    { recipe_of_venv; printf 'with %s\n' "$@"; } >"$stamp"
    rm -f -- "$unfinished" "$log"
}

# ensure_venv EXTRA...: installs the package into .venv, editable, with these extras. Quick
# if they are installed.
ensure_venv() {
    venv_is_current "$@" && return
    exec 9<"$root" # a lock on the folder itself: no file to leave behind
    flock -n 9 || { say "Waiting for another script that is setting up .venv…" && flock 9; }
    if ! venv_is_current "$@"; then
        local extra
        for extra in publisher device dev; do # keep installed extras, else two scripts would reinstall in turn
            if [[ " $* " != *" $extra "* ]] && has_extras "$extra"; then set -- "$@" "$extra"; fi
        done
        install_into_venv "$@"
    fi
    exec 9<&-
}

has_mosquitto() { command -v mosquitto >/dev/null && command -v mosquitto_sub >/dev/null; }

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# ensure_packages WHAT PACKAGE...: installs Debian packages if run as root; else prints the
# command for it and returns 1.
ensure_packages() {
    local what=$1
    shift
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        local log
        log=$(mktemp "${TMPDIR:-/tmp}/edgeferry-apt-XXXXXX.log")
        say "Installing $what…"
        # the second time with fresh package lists: on a new machine they are empty or old
        if apt_install "$@" >"$log" 2>&1 ||
            { apt-get update </dev/null >>"$log" 2>&1 && apt_install "$@" >>"$log" 2>&1; }; then
            rm -f -- "$log"
            return
        fi
        say "$1 could not be installed; the full output is in $log"
    else
        say "$1 is not installed. To have it: sudo apt-get install $*"
    fi
    return 1
}

# the broker and its command-line clients
ensure_mosquitto() {
    has_mosquitto || ensure_packages "mosquitto, the MQTT broker" mosquitto mosquitto-clients
}

# the browser in which tests open reports
ensure_chromium() {
    command -v chromium >/dev/null || ensure_packages "chromium, the browser of the tests" chromium fonts-liberation # no page without letters
}

# ensure_zoo WHICH: the models of others that tests/zoo takes, small or all, into .venv/zoo
ensure_zoo() {
    (cd -- "$root" && "$venv/bin/python" -m tests.zoo.wheels "$1" </dev/null >&2)
}
