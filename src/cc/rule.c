/* SPDX-License-Identifier: Apache-2.0 */
/* Reads rules; see rule.h. */
#include "cc/rule.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool address(const char *text, struct fns_gid *out)
{
	static const uint8_t v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memcpy(out->b, v4, sizeof(v4));
	return inet_pton(AF_INET, text, out->b + 12) == 1 || inet_pton(AF_INET6, text, out->b) == 1;
}

/* Up to its end, at ':'; an address in brackets may hold ':'. NULL: too long, empty or no end. */
static const char *word(const char *text, char *out, size_t len)
{
	size_t skip = *text == '[', n = strcspn(text + skip, skip ? "]" : ":");
	const char *end = text + skip + n + skip;

	if (n == 0 || n >= len || (skip && text[skip + n] != ']') || *end != ':' || end[1] == '\0')
		return NULL;
	memcpy(out, text + skip, n);
	out[n] = '\0';
	return end + 1;
}

const char *fns_cc_who_parse(const char *text, struct fns_cc_who *out, char *err, size_t errlen)
{
	struct fns_cc_who who = {0};
	const char *rest = text;
	char addr[INET6_ADDRSTRLEN];

	if (strncmp(text, "peer=", 5) == 0) {
		rest = word(text + 5, addr, sizeof(addr));
		if (rest && !address(addr, &who.peer))
			rest = NULL;
		who.by_peer = true;
	} else if (strncmp(text, "iface=", 6) == 0) {
		rest = word(text + 6, who.iface, sizeof(who.iface));
	}
	if (!rest) {
		snprintf(err, errlen,
			"'%.80s': expected peer=ADDRESS:NAME, peer=[ADDRESS]:NAME for IPv6, or "
			"iface=INTERFACE:NAME",
			text);
		return NULL;
	}
	*out = who;
	return rest;
}

bool fns_cc_rule_next(const char **list, char *rule, size_t len)
{
	const char *at = *list + strspn(*list, ";");
	size_t n = strcspn(at, ";");

	if (n == 0 || n >= len)
		return false;
	memcpy(rule, at, n);
	rule[n] = '\0';
	*list = at + n;
	return true;
}

size_t fns_cc_path_length(const char *text)
{
	size_t n = text ? strcspn(text, ":") : 0;

	return n && memchr(text, '/', n) ? n : 0;
}
