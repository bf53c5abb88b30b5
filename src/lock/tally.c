/* SPDX-License-Identifier: MIT */
#include "tally.h"

extern inline rlki_tally rlki_tally_of(const rlk_lock *lock);
