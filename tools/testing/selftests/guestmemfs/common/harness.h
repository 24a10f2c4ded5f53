/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_HARNESS_H
#define _GUESTMEMFS_HARNESS_H

#include "kselftest_harness.h"

/*
 * Seconds that a test may take. The limit is for an emulated machine with a debug kernel, on a host
 * that has other work to do.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#endif
