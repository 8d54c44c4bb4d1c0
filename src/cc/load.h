/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Congestion controls that are loaded into this process: shared objects, which are trusted, and
 * eBPF, which is verified. What is loaded stays until the process ends, for queue pairs use it.
 * Apart from the rest of cc, which is pure: this opens files. Thread-safe. Called by who makes an
 * engine, by the control socket (src/host) and by the command line.
 */
#ifndef FNS_CC_LOAD_H
#define FNS_CC_LOAD_H

#include "cc/cc.h"

#define FNS_CC_LOADED_MAX 32u
#define FNS_CC_FILE_BYTES (16u << 20)

enum fns_cc_kind {
	FNS_CC_BUILT_IN,
	FNS_CC_SHARED_OBJECT,
	FNS_CC_EBPF
};

/*
 * Loads a file. One with the same bytes is not loaded again; another one of the same name takes its
 * place for who asks for it from now on. NULL: err says what is wrong with it.
 */
const struct fns_cc_ops *fns_cc_load_path(const char *path, char *err, size_t errlen);
/*
 * The same from a memory file that cannot change any more (fns_cc_load_seal), so that reading it
 * cannot block. name: for people. fd stays the caller's.
 */
const struct fns_cc_ops *fns_cc_load_fd(int fd, const char *name, char *err, size_t errlen);
/* A copy of a file as such a memory file. -1: err says why not. */
int fns_cc_load_seal(const char *path, char *err, size_t errlen);

/* What is loaded, newest first; NULL past the last. from: the file's name. */
const struct fns_cc_ops *fns_cc_loaded_at(unsigned i, const char **from, enum fns_cc_kind *kind);

/* As fns_cc_parse(), also among what is loaded. */
bool fns_cc_choose(const char *text, struct fns_cc_choice *out, char *err, size_t errlen);
/* And NAME may be a file, which is loaded: one with a '/' in its name. */
bool fns_cc_choose_path(const char *text, struct fns_cc_choice *out, char *err, size_t errlen);

#endif
