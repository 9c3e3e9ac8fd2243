# shellcheck shell=bash
# A second builder on the same machine: another folder, user, home, umask, locale and time zone, files of another age, another
# place for the Rust toolchain and cargo's files, and a later time. Sourced by scripts/image; the folder must be one that every
# user can reach.

elsewhere_user=64123 # Nobody's, and with no name.

# Lays out FOLDER: a copy of this checkout's tracked and new files, as old as nothing else here, and the tools.
elsewhere_prepare() { # FOLDER
    local folder="$1" sysroot home="${CARGO_HOME:-$HOME/.cargo}"
    sysroot="$(rustc --print sysroot)"
    mkdir -p "$folder/another checkout" "$folder/toolchain" "$folder/cargo/registry" "$folder/home"
    chmod 711 "$folder"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' path; do [ ! -e "$path" ] || printf '%s\0' "$path"; done |
        tar --create --null --files-from=- --mtime=@1000000000 | tar --extract --directory "$folder/another checkout"
    # Links where they can be: the same bytes in another place, without a copy of a gigabyte.
    local part
    for part in "$sysroot/bin" "$sysroot/lib"; do
        cp -al "$part" "$folder/toolchain/" 2>/dev/null || cp -a "$part" "$folder/toolchain/"
    done
    # Crates as they were downloaded; the second builder unpacks them itself.
    for part in cache index; do
        cp -al "$home/registry/$part" "$folder/cargo/registry/" 2>/dev/null || cp -a "$home/registry/$part" "$folder/cargo/registry/"
    done
    if [ "$(id -u)" -eq 0 ]; then
        # Folders only: the files may be links to those of the first builder.
        find "$folder/cargo" "$folder/home" -type d -exec chown "$elsewhere_user:$elsewhere_user" {} +
        chown -R "$elsewhere_user:$elsewhere_user" "$folder/another checkout"
    fi
}

# Runs COMMAND in FOLDER's checkout as the second builder.
elsewhere() { # FOLDER COMMAND...
    local folder="$1" as=()
    shift
    if [ "$(id -u)" -eq 0 ]; then
        as=(setpriv "--reuid=$elsewhere_user" "--regid=$elsewhere_user" --clear-groups)
    fi
    (
        cd "$folder/another checkout" || exit
        umask 077
        env -i "PATH=$folder/toolchain/bin:/usr/local/bin:/usr/bin:/bin" "HOME=$folder/home" USER=elsewhere LOGNAME=elsewhere \
            "CARGO_HOME=$folder/cargo" CARGO_NET_OFFLINE=true TZ=Asia/Kathmandu LC_ALL=C.UTF-8 LANG=de_DE.UTF-8 \
            "XDG_CACHE_HOME=$folder/home/cache" SOURCE_DATE_EPOCH=1 KBUILD_BUILD_USER=elsewhere KBUILD_BUILD_HOST=elsewhere \
            "${as[@]}" "$@"
    )
}
