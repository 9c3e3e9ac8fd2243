# shellcheck shell=bash
# The enclave kernel, built once for each recipe and compiler and then kept outside the checkout. Sourced, in the checkout.

# What decides about its bytes: everything in its folder that is not for people, and the tools.
kernel_key() {
    {
        find enclave-image/kernel -type f ! -name README.md -print0 | LC_ALL=C sort --zero-terminated | xargs -0 sha256sum
        gcc --version | head -n 1
        ld --version | head -n 1
    } | sha256sum | cut -c1-16
}

# Prints the path of the kernel; builds it if need be.
kernel_cached() {
    local folder
    folder="${XDG_CACHE_HOME:-$HOME/.cache}/narthex/kernel/$(kernel_key)"
    if ! [ -e "$folder/bzImage" ]; then
        echo "building the enclave kernel, once (some minutes)" >&2
        mkdir -p "$folder"
        # In its place only when the build is content with it, digest and all; bash forgets `set -e` in `$(…)`.
        if ! enclave-image/kernel/build --out "$folder/building.$BASHPID" >&2; then
            rm -f "$folder/building.$BASHPID"
            return 1
        fi
        mv "$folder/building.$BASHPID" "$folder/bzImage" || return
    fi
    printf '%s\n' "$folder/bzImage"
}
