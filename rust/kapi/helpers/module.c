// SPDX-License-Identifier: GPL-2.0
/* What a module can only say in C. */
#include <linux/module.h>

MODULE_VERSION("1.0.0");
