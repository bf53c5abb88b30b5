/* SPDX-License-Identifier: MIT
 *
 * What an errno says of a connection, in words.
 */
#ifndef RLKI_ERROR_NUMBER_H
#define RLKI_ERROR_NUMBER_H

#include "resplock/net.h"

#ifndef RLK_NO_TEXT
/* Words of an errno; NULL where there are none: of a rare one, and without POSIX. strerror is not
 * safe in threads. */
const char *rlki_error_number_text(int number);
#endif

#endif
