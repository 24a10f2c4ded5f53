#include "test.h"
void handover_tests(void) {}
