/*
 * Signs the attestation documents of the NSM device by asking another process
 *
 * Copyright (c) 2026 The Narthex authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "hw/virtio/nsm-signer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * Waits until @fd is ready for @events. False, with @errp set, once @deadline
 * (microseconds of the monotonic clock) has passed.
 */
static bool wait_for(int fd, short events, int64_t deadline, Error **errp)
{
    struct pollfd ready = { .fd = fd, .events = events };

    for (;;) {
        int64_t left = deadline - g_get_monotonic_time();
        int r;

        if (left <= 0) {
            error_setg(errp, "the signer did not answer within %d ms",
                       NSM_SIGNER_TIMEOUT_MS);
            return false;
        }
        /* Rounded up: a wait of 0 ms would spin through the last one. */
        r = poll(&ready, 1, (int)((left + 999) / 1000));
        if (r > 0) {
            return true;
        }
        if (r < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "waiting for the signer failed");
            return false;
        }
    }
}

static bool write_all(int fd, const uint8_t *data, size_t len,
                      int64_t deadline, Error **errp)
{
    while (len > 0) {
        /* MSG_NOSIGNAL: a signer that went away must not end the machine. */
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n >= 0) {
            data += n;
            len -= n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for(fd, POLLOUT, deadline, errp)) {
                return false;
            }
        } else if (errno != EINTR) {
            error_setg_errno(errp, errno, "writing to the signer failed");
            return false;
        }
    }
    return true;
}

static bool read_all(int fd, uint8_t *data, size_t len, int64_t deadline,
                     Error **errp)
{
    while (len > 0) {
        ssize_t n;

        /* Before each read: a signer that drips bytes has no more time. */
        if (!wait_for(fd, POLLIN, deadline, errp)) {
            return false;
        }
        n = recv(fd, data, len, 0);
        if (n > 0) {
            data += n;
            len -= n;
        } else if (n == 0) {
            error_setg(errp, "the signer closed the connection too early");
            return false;
        } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            error_setg_errno(errp, errno, "reading from the signer failed");
            return false;
        }
    }
    return true;
}

static int connect_to(const char *path, int64_t deadline, Error **errp)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        error_setg(errp, "the signer's path is longer than %zu bytes",
                   sizeof(address.sun_path) - 1);
        return -1;
    }
    pstrcpy(address.sun_path, sizeof(address.sun_path), path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "no socket for the signer");
        return -1;
    }
    for (;;) {
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
            return fd;
        }
        /*
         * A Unix socket has no connection in progress: EAGAIN says that the
         * listener's queue is full, and nothing can be polled for that.
         */
        if (errno != EAGAIN && errno != EINTR) {
            error_setg_errno(errp, errno, "cannot reach the signer at %s",
                             path);
            break;
        }
        if (g_get_monotonic_time() >= deadline) {
            error_setg(errp, "the signer at %s took no connection within %d ms",
                       path, NSM_SIGNER_TIMEOUT_MS);
            break;
        }
        g_usleep(5000);
    }
    close(fd);
    return -1;
}

size_t nsm_signer_sign(const char *path, const uint8_t *document, size_t len,
                       uint8_t *answer, size_t room, Error **errp)
{
    int64_t deadline = g_get_monotonic_time() +
                       (int64_t)NSM_SIGNER_TIMEOUT_MS * 1000;
    uint8_t header[sizeof(uint32_t)];
    size_t answer_len, signed_len = 0;
    int fd = connect_to(path, deadline, errp);

    if (fd < 0) {
        return 0;
    }

    stl_be_p(header, len);
    if (!write_all(fd, header, sizeof(header), deadline, errp) ||
        !write_all(fd, document, len, deadline, errp) ||
        !read_all(fd, header, sizeof(header), deadline, errp)) {
        goto out;
    }
    answer_len = ldl_be_p(header) & 0xffffffff;
    if (answer_len == 0) {
        error_setg(errp, "the signer refused the document");
        goto out;
    }
    if (answer_len > room) {
        error_setg(errp, "the signer's answer of %zu bytes is too long",
                   answer_len);
        goto out;
    }
    if (read_all(fd, answer, answer_len, deadline, errp)) {
        signed_len = answer_len;
    }

 out:
    close(fd);
    return signed_len;
}
