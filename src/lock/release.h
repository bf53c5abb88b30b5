/* SPDX-License-Identifier: MIT */
#ifndef RLKI_LOCK_RELEASE_H
#define RLKI_LOCK_RELEASE_H

#include "operation.h"

extern const rlki_call rlki_call_release;

#endif
