# shellcheck shell=bash
# Installs Debian packages where that needs no question, and else says what to do. Sourced.

packages_install() { # PACKAGE... , and options of apt-get
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "run this first, then try again: sudo apt-get install --yes $*" >&2
            return 3
        fi
        sudo=(sudo)
    fi
    echo "installing: $*" >&2
    # What cannot be updated may still be installed: the second command decides. A fresh machine updates itself meanwhile: it has ten
    # minutes for that. And sudo hands no environment on.
    "${sudo[@]}" apt-get update -qq >&2 || true
    if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --yes -qq "$@" >/dev/null; then
        echo "apt-get says above why it could not install that; then try again. It needs a network that reaches Debian's mirror" >&2
        return 3
    fi
}
