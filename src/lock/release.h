/* SPDX-License-Identifier: MIT */
#ifndef RLKI_LOCK_RELEASE_H
#define RLKI_LOCK_RELEASE_H

#include "operation.h"

extern const rlki_operation rlki_release;

#endif
