# shellcheck shell=bash
# Shared by the scripts beside it; sourced, not run.
set -euo pipefail
shopt -s inherit_errexit

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Tools that are built once stay here, outside the clone, so that a new clone has them at once.
# shellcheck disable=SC2034 # Read by the scripts that source this.
cache="${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/lockstep"

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
else
    bold='' green='' red='' dim='' plain=''
fi

# fail TEXT [HINT]: says what went wrong and what to do, and ends the script.
fail() {
    printf '%serror%s: %s\n' "$red" "$plain" "$1" >&2
    [[ -z "${2:-}" ]] || printf '%shint%s: %s\n' "$bold" "$plain" "$2" >&2
    exit 1
}

headline() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$1" "$plain"; }

# step TITLE COMMAND…: runs a command below a headline and says how long it took.
step() {
    local title="$1" begin=$SECONDS
    shift
    headline "$title"
    "$@" || fail "$title: failed after $((SECONDS - begin)) s"
    printf '%sok%s %s(%s s)%s\n' "$green" "$plain" "$dim" "$((SECONDS - begin))" "$plain"
}

# wait_for SECONDS WHAT COMMAND…: polls a condition; a limit that runs out fails the script.
wait_for() {
    local patience="$1" what="$2" until=$((SECONDS + $1))
    shift 2
    until "$@"; do
        ((SECONDS < until)) || fail "waited $patience s for $what, in vain"
        sleep 0.1
    done
}

# have_packages COMMAND=PACKAGE…: installs the Debian packages whose commands are missing, or says how to.
have_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]})) || return 0
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        note "missing: ${missing[*]}; on Debian: sudo apt-get install -y ${missing[*]}"
        return 1
    fi
    note "installing ${missing[*]}"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"; } \
        >"${TMPDIR:-/tmp}/lockstep-apt.$$" 2>&1 || {
        tail -n 5 "${TMPDIR:-/tmp}/lockstep-apt.$$" >&2
        rm -f "${TMPDIR:-/tmp}/lockstep-apt.$$"
        return 1
    }
    rm -f "${TMPDIR:-/tmp}/lockstep-apt.$$"
}

# have_toolchain: what a build needs.
have_toolchain() {
    # Where rustup puts it, for a shell that has not read its profile since.
    [[ ! -d "${CARGO_HOME:-$HOME/.cargo}/bin" ]] || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null ||
        fail "there is no cargo" "install Rust with rustup (https://rustup.rs); rust-toolchain.toml then chooses the version"
    (cd "$root" && cargo --version >/dev/null) ||
        fail "cargo does not run here" "rust-toolchain.toml asks for $(sed -n 's/^channel = //p' "$root/rust-toolchain.toml"): rustup toolchain install"
    # libgit2, ring and jemalloc are compiled from C.
    have_packages cc=build-essential make=build-essential git=git ||
        fail "a build needs a C compiler, make and git" "install what is named above"
}

# tool CRATE VERSION: builds a cargo tool into the cache unless it is there, and puts it first on the PATH.
tool() {
    local crate="$1" version="$2" into="$cache/tools/$1-$2"
    if [[ ! -x "$into/bin/$crate" ]]; then
        note "building $crate $version once, into $cache: some minutes"
        # Not into the target directory of the project: nothing of it is used again.
        env -u CARGO_TARGET_DIR cargo install --quiet --locked "$crate" --version "$version" --root "$into" || return 1
    fi
    PATH="$into/bin:$PATH"
}
