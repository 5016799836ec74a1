/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Prototypes of the C side of wg_kapi, shared by the C files and bindgen.
 * One header a subject; include it here.
 */
#ifndef WG_HELPERS_H
#define WG_HELPERS_H

#include <linux/types.h>

#include "wg_core.h"
#include "wg_crypto.h"
#include "wg_genl.h"
#include "wg_log.h"
#include "wg_netdev.h"
#include "wg_queue.h"
#include "wg_skb.h"
#include "wg_table.h"
#include "wg_trace.h"
#include "wg_udp.h"

#endif
