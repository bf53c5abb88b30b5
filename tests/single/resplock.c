/* SPDX-License-Identifier: MIT
 *
 * The library of a build with RESPLOCK_SINGLE_FILE.
 */
#define RESPLOCK_IMPLEMENTATION
#include "../../single/resplock.h"
