/* What a disk would hold if the machine lost its power now: only what was synced.
 *
 * Preloaded into the key service by tests/crash.rs. It watches one folder (SYNCED_FOLDER) and keeps a second one
 * (SYNCED_SHADOW) as the strictest file system would have it after a power cut:
 *
 * - a file's content is what it was at its last fsync or fdatasync; later writes are dropped;
 * - a new name, a rename or a hard link counts only once the folder itself was synced;
 * - nothing else survives.
 *
 * The shadow is updated before the call returns, so whatever the program did after the call is covered.
 * It is exact for programs that write with system calls; SQLite's shared-memory index is mapped, and is not
 * kept, which is right: SQLite makes it anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define MAX_CHANGES 64
static struct { char kind; char from[NAME_MAX + 1]; char to[NAME_MAX + 1]; } changes[MAX_CHANGES];
static int change_count;

static void fail(const char *what) {
    /* A watcher that misses something would make the test pass for the wrong reason. */
    dprintf(2, "synced.c: %s\n", what);
    abort();
}

static const char *folder(void) { return getenv("SYNCED_FOLDER"); }

/* The name inside the watched folder, or NULL. */
static const char *watched(const char *path) {
    const char *root = folder();
    size_t length = root ? strlen(root) : 0;
    if (!length || strncmp(path, root, length) != 0 || path[length] != '/') return NULL;
    const char *name = path + length + 1;
    return strchr(name, '/') ? NULL : name;
}

static void in_shadow(char *out, const char *part, const char *name) {
    if (snprintf(out, PATH_MAX, "%s/%s/%s", getenv("SYNCED_SHADOW"), part, name) >= PATH_MAX) fail("path");
}

static void copy(int from, const char *to) {
    static char buffer[1 << 16];
    char temporary[PATH_MAX];
    in_shadow(temporary, "temporary", "file");
    int out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0) fail("open");
    off_t offset = 0;
    for (;;) {
        ssize_t count = pread(from, buffer, sizeof buffer, offset);
        if (count < 0) fail("pread");
        if (count == 0) break;
        if (write(out, buffer, (size_t)count) != count) fail("write");
        offset += count;
    }
    close(out);
    int (*real_rename)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    /* The kill can come at any moment: the shadow holds the old content or the new, whole. */
    if (real_rename(temporary, to) != 0) fail("rename");
}

static void folder_was_synced(void) {
    int (*real_rename)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    char from[PATH_MAX], to[PATH_MAX];
    for (int i = 0; i < change_count; i++) {
        /* A name that was made and synced, but not its folder, waits among the new ones. */
        in_shadow(from, "new", changes[i].from);
        if (access(from, F_OK) != 0) in_shadow(from, "synced", changes[i].from);
        if (access(from, F_OK) != 0) continue;
        in_shadow(to, "synced", changes[i].to);
        if (changes[i].kind == 'r') {
            if (real_rename(from, to) != 0) fail("rename");
        } else {
            int file = open(from, O_RDONLY);
            if (file < 0) fail("open");
            copy(file, to);
            close(file);
        }
    }
    change_count = 0;
    /* Every other new name: those that still exist. */
    static const char *names[] = {"keys.sqlite", "keys.sqlite-wal", "root.key", "root.key.new", NULL};
    for (int i = 0; names[i]; i++) {
        in_shadow(from, "new", names[i]);
        in_shadow(to, "synced", names[i]);
        if (access(from, F_OK) == 0 && real_rename(from, to) != 0) fail("rename");
    }
}

static void was_synced(int descriptor) {
    char link[64], path[PATH_MAX], to[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) fail("readlink");
    path[length] = 0;
    const char *root = folder();
    if (!root) return;
    pthread_mutex_lock(&lock);
    if (strcmp(path, root) == 0) {
        folder_was_synced();
    } else {
        const char *name = watched(path);
        if (name) {
            /* SQLite opens for writing only at times; read through a descriptor of our own. */
            int file = open(path, O_RDONLY);
            if (file >= 0) {
                in_shadow(to, "synced", name);
                if (access(to, F_OK) != 0) in_shadow(to, "new", name);
                copy(file, to);
                close(file);
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

static void changed(char kind, const char *from, const char *to) {
    const char *from_name = watched(from), *to_name = watched(to);
    if (!from_name || !to_name) return;
    pthread_mutex_lock(&lock);
    if (change_count == MAX_CHANGES) fail("too many changes");
    changes[change_count].kind = kind;
    strncpy(changes[change_count].from, from_name, NAME_MAX);
    strncpy(changes[change_count].to, to_name, NAME_MAX);
    change_count++;
    pthread_mutex_unlock(&lock);
}

int fsync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    int result = real(descriptor);
    if (result == 0) was_synced(descriptor);
    return result;
}

int fdatasync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(descriptor);
    if (result == 0) was_synced(descriptor);
    return result;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int result = real(from, to);
    if (result == 0) changed('r', from, to);
    return result;
}

int link(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    int result = real(from, to);
    if (result == 0) changed('l', from, to);
    return result;
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    int result = real(from_folder, from, to_folder, to, flags);
    if (result == 0) changed('l', from, to);
    return result;
}
