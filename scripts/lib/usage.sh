# shellcheck shell=bash
# What a script says about itself is the comment at its top. Sourced first, with the script's arguments.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
misuse() { usage >&2 && exit 2; }
case "${1:-}" in -h | --help) usage && exit 0 ;; esac
