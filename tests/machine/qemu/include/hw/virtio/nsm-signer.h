/*
 * Signs the attestation documents of the NSM device by asking another process
 *
 * Copyright (c) 2026 The Narthex authors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_VIRTIO_NSM_SIGNER_H
#define QEMU_VIRTIO_NSM_SIGNER_H

#include "qapi/error.h"

/*
 * Sends the unsigned @document of @len bytes to the Unix stream socket @path
 * and writes the signed one to @answer, which has room for @room bytes.
 *
 * Wire: a big-endian 32-bit length and that many bytes, once in each direction,
 * on a connection of its own. An answer of length 0 is a refusal.
 *
 * Takes at most NSM_SIGNER_TIMEOUT_MS, all steps together. The caller holds the
 * big lock meanwhile, so the guest stands still.
 *
 * Returns the length of the answer, or 0 with @errp set.
 */
size_t nsm_signer_sign(const char *path, const uint8_t *document, size_t len,
                       uint8_t *answer, size_t room, Error **errp);

#define NSM_SIGNER_TIMEOUT_MS 5000

#endif
