/* SPDX-License-Identifier: GPL-2.0 */
/* The one list of headers that bindgen reads for wg_kapi. */

#include <linux/hrtimer_types.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <uapi/linux/wireguard.h>

/* core: memory, time, work, crypto, log */
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "wg_helpers.h"
