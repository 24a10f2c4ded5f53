#include "test.h"
void cmdline_tests(void) {}
