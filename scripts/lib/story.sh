# shellcheck shell=bash
# What scripts/demo and scripts/restore-drill share: programs, a temporary folder, processes that end with the script, and
# the words. STORY_PROGRAMS: programs that are there already. Sourced, with the script's arguments; ends up in the folder.
set -Eeuo pipefail
script="$(basename "$0")"
. "$(dirname "${BASH_SOURCE[0]}")/usage.sh"
case "$*" in
    "") keep=no ;;
    --keep) keep=yes ;;
    *) misuse ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
repository="$PWD"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$repository/target}" CARGO_TERM_COLOR=never

if [ -z "${STORY_PROGRAMS:-}" ]; then
    scripts/install-tools
    if [ -z "${NARTHEX_DEV_PROGRAMS:-}" ]; then
        echo "building (the first time takes some minutes)" >&2
        scripts/build dev >&2
        NARTHEX_DEV_PROGRAMS="$CARGO_TARGET_DIR/dev"
    fi
    STORY_PROGRAMS="$NARTHEX_DEV_PROGRAMS"
fi
PATH="$STORY_PROGRAMS:$PATH"

umask 077
folder="$(mktemp -d "${TMPDIR:-/tmp}/narthex-$script.XXXXXX")"
# The workload runs as a user of its own when there is root; it must be able to reach its keys.
chmod 711 "$folder"
declare -A running=()
finish() {
    for name in "${!running[@]}"; do kill "${running[$name]}" 2>/dev/null || true; done
    for name in "${!running[@]}"; do wait "${running[$name]}" 2>/dev/null || true; done
    if [ "$keep" = yes ]; then echo "kept: $folder" >&2; else rm -rf "$folder"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM
# Said on the script's own standard error: what failed may be a function whose words go to a file.
exec {words}>&2
failed() { # FILE LINE
    echo "$script: ${1##*/}, line $2 failed; run it with --keep and look at the logs"
    if [ -s "$folder/quiet.log" ]; then tail -n 3 "$folder/quiet.log"; fi
} >&"$words"
trap 'failed "${BASH_SOURCE[0]}" "$LINENO"' ERR
cd "$folder"

start() { # NAME COMMAND...: in the background, its words in NAME.log
    local name="$1"
    shift
    : >"$name.log" # Not left to the new process: somebody may look for words of the old one.
    "$@" >>"$name.log" 2>&1 &
    running[$name]=$!
}
stop() { # NAME
    kill "${running[$1]}" 2>/dev/null || true
    wait "${running[$1]}" 2>/dev/null || true
    unset "running[$1]"
}
await() { # FILE PATTERN: until the log says so
    for _ in $(seq 900); do
        if grep -qE -- "$2" "$1" 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    echo "$script: $1 never said: $2" >&2
    tail -n 5 "$1" >&2
    return 1
}
refused() { # WHAT REASON OUTPUT: the reason must be the expected one
    if ! grep -qF -- "$2" <<<"$3"; then
        printf '%s: %s should have been refused with %s, but: %s\n' "$script" "$1" "$2" "$3" >&2
        return 1
    fi
    printf '  %-50s %s\n' "$1" "$2"
}
number=0
say() { number=$((number + 1)) && printf '%d. %s\n' "$number" "$*"; }
sign() { # WHAT FILE PERSON...
    local what="$1" file="$2"
    shift 2
    for person in "$@"; do narthex "$what" sign "$file" --as "$person" --key "people/$person" >>quiet.log 2>&1; done
}
