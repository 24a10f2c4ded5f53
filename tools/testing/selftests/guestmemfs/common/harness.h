/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _GUESTMEMFS_HARNESS_H
#define _GUESTMEMFS_HARNESS_H

#include "kselftest_harness.h"

/*
 * Seconds that a test may take. What makes it long is an emulated machine, perhaps with a debug
 * kernel, whose host has other things to do as well.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#endif
