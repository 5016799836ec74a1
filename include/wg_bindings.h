/* SPDX-License-Identifier: GPL-2.0 */
/* The one list of headers that bindgen reads for wg_kapi. */

#include <linux/hrtimer_types.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <uapi/linux/wireguard.h>

#include "wg_helpers.h"
