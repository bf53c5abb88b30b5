/* SPDX-License-Identifier: MIT
 *
 * A second file with a static library of its own in it.
 */
#ifndef TEST_STATIC_OTHER_H
#define TEST_STATIC_OTHER_H

#include "../../single/resplock.h"

/* Address of its rlk_version. */
uintptr_t static_other_version(void);

/* One attempt, by its own client; released before it returns. */
rlk_result static_other_try(const char *url, const char *key);

/* Its rlk_release. */
rlk_result static_other_release(rlk_lock *lock);

#endif
