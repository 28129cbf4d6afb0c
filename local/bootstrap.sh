#!/bin/sh
# Brings this checkout to where `.venv` has what a command needs: finds Python, gets uv from PyPI,
# installs from the lock. Usage: bootstrap.sh demo|test|system
set -eu

UV_VERSION=0.13.8
root=$(cd "$(dirname "$0")/.." && pwd)
var=${SIGHTLINE_VAR:-$root/var}
tools=$var/tools

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

fits() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null
}

# In this order: the one that is named, the one this checkout already uses, the system's, uv's own.
find_python() {
    for candidate in ${SIGHTLINE_PYTHON:-"$root/.venv/bin/python"} python3.12 python3.11 python3 python; do
        if fits "$candidate"; then
            python=$(command -v "$candidate")
            return
        fi
    done
    python=$(command -v python3 || command -v python || true)
    [ -n "$python" ] || no_python
    ensure_uv
    say "No Python 3.11 or 3.12 here; uv downloads one (about 30 MB)"
    export UV_PYTHON_INSTALL_DIR="$tools/python"
    "$uv" python install --no-bin 3.12 || no_python
    python=$("$uv" python find --managed-python 3.12)
}

no_python() {
    fail "Sightline needs Python 3.11 or 3.12; found: $(python3 --version 2>&1 || true).
Install one (Debian 12: apt-get install python3 python3-venv; Ubuntu 24.04: the same) or name it in SIGHTLINE_PYTHON."
}

is_root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    say "apt-get install $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$var/log/apt.log" 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
            >>"$var/log/apt.log" 2>&1
}

# uv from PyPI, in this order: a virtual environment; pip into a folder; python3-venv from Debian.
install_uv() {
    say "Getting uv $UV_VERSION from PyPI (about 25 MB)"
    rm -rf "$tools/uv"
    mkdir -p "$tools"
    if "$python" -m venv "$tools/uv" >"$var/log/venv.log" 2>&1; then
        "$tools/uv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
        return
    fi
    rm -rf "$tools/uv"
    if "$python" -m pip --version >/dev/null 2>&1; then
        say "python -m venv does not work here; pip installs uv into a folder instead"
        "$python" -m pip install --quiet --disable-pip-version-check --target "$tools/uv" "uv==$UV_VERSION"
        return
    fi
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if is_root_with_apt && apt_install "$package" && "$python" -m venv "$tools/uv"; then
        "$tools/uv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
        return
    fi
    rm -rf "$tools/uv"
    fail "$python has neither venv nor pip: install one (Debian: apt-get install $package)."
}

ensure_uv() {
    uv=$tools/uv/bin/uv
    if ! "$uv" --version 2>/dev/null | grep -q "^uv $UV_VERSION"; then
        install_uv
    fi
}

fingerprint() {
    { "$python" --version; cat "$root/uv.lock" "$root"/pyproject.toml "$root"/*/*/pyproject.toml \
        "$root"/local/pyproject.toml "$root"/bench/pyproject.toml; } | cksum
}

# Nothing is asked of the network when what is installed came from this very lock.
sync() {
    set=$1
    shift
    now=$(fingerprint)
    for stamp in "$root/.venv/.sightline-$set" "$root/.venv/.sightline-test"; do
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then
            return
        fi
    done
    ensure_uv
    say "Installing packages for $set (the first time about a minute and up to 1 GB of downloads)"
    cd "$root"
    UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=${UV_CACHE_DIR:-$var/cache/uv} \
        UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180} UV_PROJECT_ENVIRONMENT="$root/.venv" \
        "$uv" sync --frozen --inexact --python "$python" "$@"
    printf '%s\n' "$now" >"$root/.venv/.sightline-$set"
}

# Chromium, GStreamer, FFmpeg and motion for the tests that use them; without root they are skipped
# by name.
system_packages() {
    wanted=
    if ! { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null 2>&1; then
        wanted="chromium"
    fi
    if ! "$root/.venv/bin/python" -c 'import sys; from local import rtsp; sys.exit(not rtsp.available())'; then
        wanted="$wanted gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base"
        wanted="$wanted gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
    fi
    command -v ffmpeg >/dev/null 2>&1 || wanted="$wanted ffmpeg"
    command -v motion >/dev/null 2>&1 || wanted="$wanted motion"
    [ -n "$wanted" ] || return 0
    if ! is_root_with_apt; then
        say "Not installed, for want of root or apt-get: $wanted. Tests that need them are skipped."
        return 0
    fi
    case "$wanted" in
    # Debian starts what it installs: this one would watch the machine's own camera.
    *motion*) if [ -d /run/systemd/system ]; then systemctl mask --quiet motion.service || true; fi ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    apt_install $wanted || say "apt-get failed, see $var/log/apt.log. Tests that need $wanted are skipped."
}

mkdir -p "$var/log"
find_python
case ${1:-} in
demo) sync demo --group demo ;;
test) sync test --all-packages --all-groups --all-extras --no-extra torch --no-extra gpu ;;
system) system_packages ;;
*) fail "usage: $0 demo|test|system" ;;
esac
