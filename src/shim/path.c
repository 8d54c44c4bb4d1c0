/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping of paths into the launcher's private tree; see path.h. Called by shim.c only. */
#include "shim/path.h"

#include <string.h>

#include "base/util.h"

/* The tree mirrors these under its root. The third is where the class links of sysfs point to. */
static const char *const answered[] = {
	"/sys/class/infiniband",
	"/sys/class/infiniband_verbs",
	"/sys/devices/virtual/flexins",
	"/dev/infiniband",
};

/* The rest of path behind prefix, "" or "/...", if it is there; repeated slashes count as one. */
static const char *rest_after(const char *path, const char *prefix)
{
	while (*prefix != '\0') {
		if (*path != *prefix)
			return NULL;
		if (*path == '/') {
			while (path[1] == '/')
				path++;
		}
		path++;
		prefix++;
	}
	return *path == '\0' || *path == '/' ? path : NULL;
}

const char *fns_shim_path_map(
	const char *root, const char *path, char buf[static FNS_SHIM_PATH_MAX])
{
	if (root == NULL || path == NULL || path[0] != '/')
		return path;

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(answered); i++) {
		const char *rest = rest_after(path, answered[i]);
		size_t root_len, prefix_len, rest_len;

		if (rest == NULL)
			continue;
		root_len = strlen(root);
		prefix_len = strlen(answered[i]);
		rest_len = strlen(rest);
		if (root_len + prefix_len + rest_len >= FNS_SHIM_PATH_MAX)
			return path;
		memcpy(buf, root, root_len);
		memcpy(buf + root_len, answered[i], prefix_len);
		memcpy(buf + root_len + prefix_len, rest, rest_len + 1);
		return buf;
	}
	return path;
}

void fns_shim_path_unmap(const char *root, char *path)
{
	size_t len = root == NULL ? 0 : strlen(root);
	const char *rest;

	if (len == 0 || path == NULL || strncmp(path, root, len) != 0)
		return;
	rest = path + len;
	if (strncmp(rest, "/sys/", 5) == 0 || strncmp(rest, "/dev/", 5) == 0)
		memmove(path, rest, strlen(rest) + 1);
}
