// SPDX-License-Identifier: GPL-2.0
/* The files that are tested, as they are. */
#include "aead.c"
#include "pages.c"
#include "skb_crypt.c"
#include "skb_receive.c"
#include "skb_train.c"
