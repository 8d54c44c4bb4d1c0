/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what reads text of users and of the system: options and environment of `flexins run` and
 * flexinsd, FLEXINS_IFACE, FLEXINS_PORT, fault specifications, /proc/net/udp, ELF headers, paths
 * given to the shim. The parsers of the programs are static, so their files are part of this one;
 * what they would do next is not.
 */
#include <errno.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "keeper/owner.h"
#include "shim/path.h"
#include "wire/fault.h"

#define help  run_help
#define parse run_parse
#include "cli/run.c"
#undef help
#undef parse

#define help  set_help
#define parse set_parse
#include "cli/set.c"
#undef help
#undef parse

int cli_main(int argc, char **argv);
#define help main_help
#define main cli_main
#include "cli/main.c"
#undef help
#undef main

int daemon_main(int argc, char **argv);
#define help  daemon_help
#define main  daemon_main
#define usage daemon_usage
#include "keeper/main.c"
#undef main

/* Not a matter of options. */
int fns_service_main(int argc, char **argv)
{
	return 0;
}

bool fns_cli_service_runs(void)
{
	return true;
}

#include "verbs/netdev.c"

#define ARGS_MAX 24
#define TEXT_MAX 2048u

/* --- what the included files would call --- */

void fns_log(enum fns_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

int fns_cli_bench(int argc, char **argv)
{
	return 0;
}

int fns_cli_lab(int argc, char **argv)
{
	return argc + !argv;
}

int fns_cli_capture(int argc, char **argv)
{
	return argc + !argv;
}

int fns_cli_cc(int argc, char **argv)
{
	return argc + !argv;
}

/* Files are not opened, programs not called. */
bool fns_cc_choose_path(const char *text, struct fns_cc_choice *out, char *err, size_t errlen)
{
	return fns_cc_path_length(text) || fns_cc_parse(text, out, err, errlen);
}

int fns_cli_cc_read(const char *option, const char *given, char text[static 512], int *fd,
	char file[static 256])
{
	struct fns_cc_choice c;

	*fd = -1;
	snprintf(text, 512, "%s", given);
	return fns_cc_choose_path(given, &c, file, 256) ? 0 : FNS_EXIT_USAGE;
}

int fns_cli_cc_send(long pid, int fd, const char *file, bool quiet)
{
	return FNS_EXIT_FAILURE;
}

int fns_cli_remote_pid(const char *text, long *pid)
{
	*pid = atol(text);
	return *pid > 0 ? 0 : FNS_EXIT_USAGE;
}

int fns_cli_remote_qpn(const char *text, uint32_t *qpn)
{
	*qpn = (uint32_t)atol(text);
	return 0;
}

int fns_cli_remote_programs(unsigned prefix, long pid[static FNS_CLI_PROGRAMS], unsigned *n)
{
	pid[0] = 1;
	*n = prefix & 1;
	return 0;
}

int fns_cli_remote_call(long pid, struct fns_remote_msg *msg, int fd)
{
	return memchr(msg->text, '\0', sizeof(msg->text)) ? 0 : FNS_EXIT_FAILURE;
}

int fns_cli_devices(int argc, char **argv)
{
	return argc + !argv;
}

int fns_cli_offload(int argc, char **argv)
{
	return argc + !argv;
}

int fns_cli_fault(int argc, char **argv)
{
	return argc + !argv;
}

int fns_cli_status(int argc, char **argv)
{
	return argc + !argv;
}

/* It makes files. */
int fns_cli_set_capture(const char *path)
{
	return *path == '\0' ? FNS_EXIT_USAGE : 0;
}

int fns_cli_check_fault(const char *name, const char *spec)
{
	struct fns_fault_spec parsed;
	char err[256];

	return fns_fault_parse(spec, &parsed, err, sizeof(err)) < 0
		       ? fns_cli_error(FNS_EXIT_USAGE, "%s: %s", name, err)
		       : 0;
}

int fns_cli_paths_find(struct fns_cli_paths *out)
{
	memset(out, 0, sizeof(*out));
	return 0;
}

int fns_cli_tree_make(const struct fns_netdev *dev, unsigned n, char *root, size_t len)
{
	(void)dev;
	(void)n;
	snprintf(root, len, "/");
	return 0;
}

/* --- harness --- */

static const char *const env_names[] = {"FLEXINS_PORT", "FLEXINS_LINGER", "FLEXINS_QUARANTINE",
	"FLEXINS_GRO", "FLEXINS_RCVBUF", "FLEXINS_IFACE", "FLEXINS_FAULT", "FLEXINS_CC",
	"FLEXINS_CC_RULES"};

static void clear_env(void)
{
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(env_names); i++)
		unsetenv(env_names[i]);
}

/* Lines become arguments, each in memory of its own; "N=text", N a digit, environment instead. */
static int make_args(char *text, const char *name, char **argv)
{
	int argc = 0;

	argv[argc++] = strdup(name);
	for (char *line = strtok(text, "\n"); line && argc < ARGS_MAX - 1;
		line = strtok(NULL, "\n")) {
		unsigned i = (unsigned)(line[0] - '0');

		if (i < FNS_ARRAY_SIZE(env_names) && line[1] == '=')
			setenv(env_names[i], line + 2, 1);
		else
			argv[argc++] = strdup(line);
	}
	argv[argc] = NULL;
	return argc;
}

static void free_args(int argc, char **argv)
{
	while (argc--)
		free(argv[argc]);
}

static void try_run(char *text)
{
	char *copy[ARGS_MAX], *argv[ARGS_MAX];
	int argc = make_args(text, "run", copy), rc;
	struct run_opts o = {.sysfs = true};
	struct opts set = {0};
	const char *port, *iface;

	memcpy(argv, copy, sizeof(argv)); /* getopt may permute */
	optind = 0;
	rc = run_parse(argc, argv, &o);
	fz_check(rc == 0 || rc == FNS_EXIT_USAGE);
	fz_check(rc == 0 || !o.command);
	port = getenv("FLEXINS_PORT");
	iface = getenv("FLEXINS_IFACE");
	if (o.command && port && *port)
		(void)fns_cli_check_port("FLEXINS_PORT", port);
	if (iface)
		fz_check(strlen(iface) < TEXT_MAX);
	if (o.command) {
		rc = check_settings();
		fz_check(rc == 0 || rc == FNS_EXIT_USAGE);
		warn_out_of_reach("");
	}
	/* The same words for `flexins set`. */
	memcpy(argv, copy, sizeof(argv));
	optind = 0;
	rc = set_parse(argc, argv, &set);
	fz_check(rc == 0 || rc == -1 || rc == FNS_EXIT_USAGE);
	fz_check(memchr(set.who, '\0', sizeof(set.who)) != NULL);
	free_args(argc, copy);
}

static void try_daemon(char *text)
{
	char *copy[ARGS_MAX], *argv[ARGS_MAX];
	int argc = make_args(text, "flexinsd", copy), rc;
	struct start st = {.ready_fd = -1};

	memcpy(argv, copy, sizeof(argv));
	optind = 0;
	rc = from_env(&st);
	fz_check(rc == 0 || rc == 2);
	if (rc == 0) {
		rc = from_args(&st, argc, argv);
		fz_check(rc == -1 || rc == 0 || rc == 2);
	}
	if (rc == -1) {
		fz_check(st.cfg.port != 0 && st.cfg.n_allow <= FNS_KEEPER_ALLOW_MAX);
		fz_check(st.cfg.linger_ns <= 86400 * FNS_NSEC_PER_SEC);
		fz_check(st.cfg.quarantine_ns <= 86400 * FNS_NSEC_PER_SEC);
		fz_check(st.cfg.rcvbuf >= 0);
	}
	free_args(argc, copy);
}

static void try_ifaces(const char *text)
{
	static struct fns_netdev dev[FNS_MAX_DEVICES];
	unsigned n;

	if (fns_cli_set_iface(text) == 0)
		fz_check(strcmp(getenv("FLEXINS_IFACE"), text) == 0);
	n = discover_named(text, NULL, dev, 4);
	fz_check(n <= 4);
}

static void try_port(const char *text)
{
	uint16_t port = 0;
	int rc;

	setenv("FLEXINS_PORT", text, 1);
	rc = fns_keeper_port_from_env(&port);
	fz_check(rc == 0 ? port != 0 : rc == -EINVAL);
	/* Launcher and library agree on what a port is. */
	if (*text)
		fz_check((fns_cli_check_port("FLEXINS_PORT", text) == 0) == (rc == 0));
}

static void try_fault(const char *text)
{
	struct fns_fault_spec a, b;
	char err[128] = "", out[FNS_FAULT_TEXT_MAX], again[FNS_FAULT_TEXT_MAX];
	int rc = fns_fault_parse(text, &a, err, sizeof(err));

	fz_check(rc == 0 || (rc == -EINVAL && err[0] && strlen(err) < sizeof(err)));
	if (rc < 0)
		return;
	fz_check(a.n <= FNS_FAULT_RULES);
	for (uint32_t i = 0; i < a.n; i++) {
		const struct fns_fault_rule *r = &a.rule[i];

		fz_check(r->loss_ppb <= FNS_FAULT_PPB && r->dup_ppb <= FNS_FAULT_PPB);
		fz_check(r->corrupt_ppb <= FNS_FAULT_PPB && r->reorder_ppb <= FNS_FAULT_PPB);
	}
	fns_fault_format(&a, out, sizeof(out));
	fz_check(strlen(out) < sizeof(out));
	fz_check(fns_fault_parse(out, &b, err, sizeof(err)) == 0);
	fns_fault_format(&b, again, sizeof(again));
	fz_check(strcmp(out, again) == 0);
	fns_fault_format(&a, again, 7);
	fz_check(strlen(again) < 7);
}

static void try_owner(const char *text)
{
	struct fns_keeper_owner o = {0};
	char said[256];

	fns_keeper_owner_parse(&o, text, 4791, 1000);
	fz_check(o.ours <= o.sockets && o.n_inodes <= FNS_KEEPER_OWNER_INODES);
	fns_keeper_owner_explain(&o, 4791, said, sizeof(said));
	fz_check(strlen(said) < sizeof(said));
}

static void try_shim(char *text)
{
	char buf[FNS_SHIM_PATH_MAX], *path = strchr(text, '\n');
	const char *to;

	if (path)
		*path++ = '\0';
	else
		path = text;
	to = fns_shim_path_map(text, path, buf);
	fz_check(to == path || to == buf);
	if (to == buf) {
		fz_check(strlen(buf) < sizeof(buf));
		fns_shim_path_unmap(text, buf);
		fz_check(path[0] == '/');
	}
	fns_shim_path_unmap(text, path);
}

static void try_elf(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, data, size) == (ssize_t)size)
		(void)is_static(fd);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *null;
	FILE *err = stderr, *out = stdout;
	char *text;
	uint8_t which;

	if (size < 1 || size > TEXT_MAX)
		return 0;
	if (!null)
		null = fopen("/dev/null", "we");
	which = data[0] & 7;
	text = malloc(size);
	if (!null || !text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	/* Complaints are all that these parsers print. */
	stderr = stdout = null;
	clear_env();
	switch (which) {
	case 0:
		try_run(text);
		break;
	case 1:
		try_daemon(text);
		break;
	case 2:
		try_ifaces(text);
		break;
	case 3:
		try_port(text);
		break;
	case 4:
		try_fault(text);
		break;
	case 5:
		try_owner(text);
		break;
	case 6:
		try_shim(text);
		break;
	default:
		try_elf(data + 1, size - 1);
		break;
	}
	stderr = err;
	stdout = out;
	free(text);
	return 0;
}
