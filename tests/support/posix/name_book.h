/* SPDX-License-Identifier: MIT
 *
 * name_book.h: a resolver that answers at once: what the test says that a name means.
 */
#ifndef TEST_NAME_BOOK_H
#define TEST_NAME_BOOK_H

#include "support.h"

typedef struct name_book {
    rlk_resolver resolver; /* first. For rlk_posix_options.resolver */
    int ports[4];          /* of the name lock.example, on 127.0.0.1; no other has an address */
    int n;                 /* 0: it has no address */
    int asked;
} name_book;

/* lock.example has the address 127.0.0.1 with this port; 0: it has none. */
void name_book_init(name_book *book, int port);

/* From now on it has this one; 0: none. */
void name_book_means(name_book *book, int port);

/* And this one behind. */
void name_book_add(name_book *book, int port);

#endif
