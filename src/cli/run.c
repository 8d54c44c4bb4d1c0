/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flexins run: puts our libraries and the path shim in front of a program and becomes that program.
 * There is no parent process left behind: exit status, signals, terminal and descriptors are the
 * program's own business.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cc/load.h"
#include "cc/rule.h"
#include "cli/cli.h"
#include "cli/tree.h"
#include "pipe/modes.h"
#include "pipe/placement.h"
#include "wire/wire.h"

static const char help[] =
	"Usage: flexins run [OPTION]... [--] COMMAND [ARGUMENT]...\n"
	"\n"
	"Run COMMAND with FlexiNS as its RDMA device. COMMAND and its children load FlexiNS's own\n"
	"libibverbs.so.1 and librdmacm.so.1 instead of the system's, and see FlexiNS's devices\n"
	"(flexins0, ...) in /sys/class/infiniband. `flexins run` becomes COMMAND: its exit status,\n"
	"signals, input and output are COMMAND's own.\n"
	"\n"
	"Options:\n"
	"  --iface=NAME[,NAME]...  network interfaces to offer, in this order as flexins0, flexins1, ...\n"
	"                          (default: the first one that is up and has an address, else lo)\n"
	"  --port=N                UDP port to use instead of RoCEv2's 4791, on both sides\n"
	"  --placement=inline|service\n"
	"                          where the RDMA engine runs: in COMMAND itself (default), or in a\n"
	"                          `flexinsd --engine` that serves all programs of this host\n"
	"  --wire=auto|udp|shm     how packets travel (default auto: through shared memory between processes\n"
	"                          of this host and user, else in UDP datagrams); shm reaches no other host\n"
	"  --tx=header-only|dma-assisted|copy\n"
	"                          payload out: gathered where it lies (default); or, to compare, brought into\n"
	"                          NIC buffers first; or copied twice\n"
	"  --rx=in-cache|ring[:MIB]\n"
	"                          receive buffers: a few that stay in the cache (default); or, to compare, a\n"
	"                          ring of MIB (default 32) used in turn; not through shared memory\n"
	"  --pipe=phase|doorbell   between program and engine: a phase bit in each entry (default); or, to\n"
	"                          compare, indices that each side reads from the other\n"
	"  --cc=NAME[:PARAM=N,...] congestion control of reliable connections: static_window (default: none),\n"
	"                          dcqcn, timely, swift, hpcc or bbr, such as 'swift:target_us=50'; or a file,\n"
	"                          such as ./mine.so or (eBPF) ./mine.o; `flexins cc list` shows them\n"
	"  --cc-rule=WHO:NAME[:PARAM=N,...]\n"
	"                          another one for some: WHO is peer=ADDRESS, peer=[ADDRESS] for IPv6, or\n"
	"                          iface=INTERFACE, such as 'peer=192.0.2.7:swift'; the last that fits wins\n"
	"  --transport=irn|gbn     how reliable connections repair losses: only what is missing is repeated\n"
	"                          (default, to FlexiNS hosts), or all that follows too\n"
	"  --fault=SPEC            lose, repeat, reorder, corrupt, delay packets, such as\n"
	"                          'loss=1%,reorder=3,delay=50us,seed=7'; `flexins fault --help` tells more\n"
	"  --capture=FILE          write all packets to FILE for Wireshark (pcapng); %p in it is the process\n"
	"                          id; without it, processes after the first write to FILE.PID\n"
	"  --no-sysfs              leave /sys and /dev as they are (programs that look there will\n"
	"                          not find a device)\n"
	"  -v, --verbose           say what is being done; twice: say what the library does\n"
	"  --help                  print this text\n"
	"\n"
	"Environment, for COMMAND; options win:\n"
	"  FLEXINS_IFACE=NAME,...  as --iface\n"
	"  FLEXINS_PORT=N          as --port\n"
	"  FLEXINS_PLACEMENT=NAME  as --placement\n"
	"  FLEXINS_WIRE=NAME       as --wire\n"
	"  FLEXINS_TX, FLEXINS_RX, FLEXINS_PIPE\n"
	"                          as --tx, --rx, --pipe\n"
	"  FLEXINS_CC=NAME         as --cc\n"
	"  FLEXINS_TRANSPORT=NAME  as --transport\n"
	"  FLEXINS_CC_RULES=WHO:NAME;...\n"
	"                          as several --cc-rule, which add to it\n"
	"  FLEXINS_FAULT=SPEC      as --fault\n"
	"  FLEXINS_CAPTURE=FILE    as --capture; if FILE exists, .PID is added\n"
	"  FLEXINS_LOG=LEVEL       what the library tells on stderr: error (default), warn, info, debug\n"
	"  FLEXINS_DAEMON=PATH     the flexinsd to start when none runs\n"
	"  LD_LIBRARY_PATH, LD_PRELOAD are extended, FLEXINS_SYSFS is set\n"
	"\n"
	"Examples:\n"
	"  flexins run -- ibv_devinfo\n"
	"  flexins run --iface=eth1 -- ib_send_lat -d flexins0 192.0.2.7\n"
	"  flexins run -- sh -c 'ucx_info -d | grep flexins'\n"
	"\n"
	"It has no effect on programs that are statically linked or set-uid. Exit status: that of COMMAND;\n"
	"127 if it is not found, 126 if it cannot be executed, 2 for bad options, 1 for other failures.\n";

struct run_opts {
	bool sysfs;
	unsigned verbose;
	char **command; /* NULL: done, exit with the code that parse() returned */
};

static bool takes_placement(const char *value)
{
	return strcmp(value, "inline") == 0 || strcmp(value, "service") == 0;
}

static bool takes_wire(const char *value)
{
	enum fns_wire_choice choice;

	return fns_wire_choice_parse(value, &choice);
}

static bool takes_tx(const char *value)
{
	struct fns_modes m;

	return fns_tx_mode_parse(value, &m);
}

static bool takes_rx(const char *value)
{
	struct fns_modes m;

	return fns_rx_mode_parse(value, &m);
}

static bool takes_pipe(const char *value)
{
	struct fns_modes m;

	return fns_pipe_mode_parse(value, &m);
}

static bool takes_transport(const char *value)
{
	bool selective;

	return fns_transport_parse(value, &selective);
}

static int check_cc(const char *name, const char *value)
{
	struct fns_cc_choice c;
	char why[512];

	if (fns_cc_choose_path(value, &c, why, sizeof(why)))
		return FNS_EXIT_OK;
	return fns_cli_error(FNS_EXIT_USAGE, "%s: %s", name, why);
}

static int check_cc_rules(const char *name, const char *value)
{
	struct fns_cc_who who;
	char rule[4096], why[512];
	const char *cc;
	int rc = 0;

	while (rc == 0 && fns_cc_rule_next(&value, rule, sizeof(rule))) {
		cc = fns_cc_who_parse(rule, &who, why, sizeof(why));
		rc = cc ? check_cc(name, cc) : fns_cli_error(FNS_EXIT_USAGE, "%s: %s", name, why);
	}
	return rc;
}

/* [WHO:]FILE[:PARAM=N,...] with the whole path: the program may change its directory. */
static int set_cc(const char *env, const char *before, const char *value)
{
	struct fns_cc_who who;
	char cwd[PATH_MAX] = "", why[256], *all = NULL;
	const char *cc = fns_cc_who_parse(value, &who, why, sizeof(why));
	size_t n = cc ? (size_t)(cc - value) : 0;

	if (cc && fns_cc_path_length(cc) && *cc != '/' && getcwd(cwd, sizeof(cwd) - 1) == NULL)
		return fns_cli_error(FNS_EXIT_FAILURE, "current directory: %s", strerror(errno));
	if (cwd[0])
		strcat(cwd, "/");
	if (asprintf(&all, "%s%s%.*s%s%s", before ? before : "", before ? ";" : "", (int)n, value,
		    cwd, value + n) < 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "out of memory");
	setenv(env, all, 1);
	free(all);
	return 0;
}

/* Options that are also environment, checked alike: by check, or by takes and what it expects. */
static const struct setting {
	char option;
	const char *name, *env, *expected;
	bool (*takes)(const char *value);
	int (*check)(const char *name, const char *value);
} settings[] = {
	{'P', "--placement", "FLEXINS_PLACEMENT", "inline or service", takes_placement, NULL},
	{'w', "--wire", "FLEXINS_WIRE", FNS_WIRE_CHOICES, takes_wire, NULL},
	{'t', "--tx", "FLEXINS_TX", FNS_TX_EXPECTED, takes_tx, NULL},
	{'r', "--rx", "FLEXINS_RX", FNS_RX_EXPECTED, takes_rx, NULL},
	{'q', "--pipe", "FLEXINS_PIPE", FNS_PIPE_EXPECTED, takes_pipe, NULL},
	{'C', "--cc", "FLEXINS_CC", NULL, NULL, check_cc},
	{'R', "--cc-rule", "FLEXINS_CC_RULES", NULL, NULL, check_cc_rules},
	{'T', "--transport", "FLEXINS_TRANSPORT", FNS_TRANSPORT_EXPECTED, takes_transport, NULL},
	{'f', "--fault", "FLEXINS_FAULT", NULL, NULL, fns_cli_check_fault},
	/* Set by fns_cli_set_capture(), which makes the path whole. */
	{0, "--capture", "FLEXINS_CAPTURE", NULL, NULL, NULL},
};

/* name: where the value came from. */
static int check_setting(const struct setting *s, const char *name, const char *value)
{
	if (s->check)
		return s->check(name, value);
	if (!s->takes || s->takes(value))
		return FNS_EXIT_OK;
	return fns_cli_error(FNS_EXIT_USAGE, "%s='%s': expected %s", name, value, s->expected);
}

static int set_setting(int option, const char *value)
{
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(settings); i++) {
		if (settings[i].option == option) {
			int rc = check_setting(&settings[i], settings[i].name, value);

			if (rc == 0 && (option == 'C' || option == 'R'))
				return set_cc(settings[i].env,
					option == 'R' ? getenv(settings[i].env) : NULL, value);
			if (rc == 0)
				setenv(settings[i].env, value, 1);
			return rc;
		}
	}
	return FNS_EXIT_USAGE;
}

/* What the environment says, options put there included. */
static int check_settings(void)
{
	const char *wire = getenv("FLEXINS_WIRE"), *rx = getenv("FLEXINS_RX");
	struct fns_modes m = {0};

	for (unsigned i = 0; i < FNS_ARRAY_SIZE(settings); i++) {
		const char *v = getenv(settings[i].env);
		int rc = v != NULL && *v != '\0' ? check_setting(&settings[i], settings[i].env, v)
						 : 0;

		if (rc != 0)
			return rc;
	}
	if (wire != NULL && strcmp(wire, "shm") == 0 && fns_rx_mode_parse(rx, &m) &&
		m.rx == FNS_RXM_RING)
		return fns_cli_error(
			FNS_EXIT_USAGE, "--rx=%s with --wire=shm: " FNS_RX_NOT_SHM, rx);
	return FNS_EXIT_OK;
}

static const char *option_of(const char *env)
{
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(settings); i++)
		if (strcmp(settings[i].env, env) == 0)
			return settings[i].name;
	return env;
}

/* Is there an engine for the program to use? And nothing that one program cannot choose for it. */
static int check_service(void)
{
	static const char *const not_here[] = {FNS_ENGINE_ENV};
	const char *placement = getenv("FLEXINS_PLACEMENT"), *v;

	if (placement == NULL || strcmp(placement, "service") != 0)
		return 0;
	for (unsigned i = 0; i < FNS_ARRAY_SIZE(not_here); i++) {
		v = getenv(not_here[i]);
		if (v != NULL && *v != '\0')
			return fns_cli_error(FNS_EXIT_USAGE,
				"%s is not for --placement=service: the engine serves other programs too; set %s for "
				"flexinsd --engine",
				option_of(not_here[i]), not_here[i]);
	}
	if (fns_cli_service_runs())
		return 0;
	return fns_cli_error(FNS_EXIT_FAILURE,
		"no engine runs for --placement=service; start one in this network namespace: flexinsd --engine");
}

static int parse(int argc, char **argv, struct run_opts *o)
{
	static const struct option options[] = {
		{"iface", required_argument, NULL, 'i'},
		{"port", required_argument, NULL, 'p'},
		{"placement", required_argument, NULL, 'P'},
		{"wire", required_argument, NULL, 'w'},
		{"tx", required_argument, NULL, 't'},
		{"rx", required_argument, NULL, 'r'},
		{"pipe", required_argument, NULL, 'q'},
		{"cc", required_argument, NULL, 'C'},
		{"transport", required_argument, NULL, 'T'},
		{"cc-rule", required_argument, NULL, 'R'},
		{"fault", required_argument, NULL, 'f'},
		{"capture", required_argument, NULL, 'c'},
		{"no-sysfs", no_argument, NULL, 'n'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, rc = 0;

	opterr = 0;
	while (rc == 0 && (c = getopt_long(argc, argv, "+:vh", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			rc = fns_cli_set_iface(optarg);
			break;
		case 'p':
			rc = fns_cli_set_port(optarg);
			break;
		case 'P':
		case 'w':
		case 't':
		case 'r':
		case 'q':
		case 'C':
		case 'T':
		case 'R':
		case 'f':
			rc = set_setting(c, optarg);
			break;
		case 'c':
			rc = fns_cli_set_capture(optarg);
			break;
		case 'n':
			o->sysfs = false;
			break;
		case 'v':
			o->verbose++;
			break;
		case 'h':
			fputs(help, stdout);
			return FNS_EXIT_OK;
		default:
			return fns_cli_bad_option(argv[0], c, argv);
		}
	}
	if (rc != 0)
		return rc;
	if (optind >= argc)
		return fns_cli_error(FNS_EXIT_USAGE,
			"run: which program? For example: flexins run -- ibv_devinfo");
	o->command = argv + optind;
	return FNS_EXIT_OK;
}

/* name=first:old, or name=old:first, without repeating what a `flexins run` around this one has
 * set. */
static int extend(const char *name, const char *items, bool behind)
{
	const char *old = getenv(name);
	char *all;

	if (old == NULL || *old == '\0' || strcmp(old, items) == 0)
		return setenv(name, items, 1);
	if (strstr(old, items) != NULL)
		return 0;
	if (asprintf(&all, "%s:%s", behind ? old : items, behind ? items : old) < 0)
		return -1;
	setenv(name, all, 1);
	free(all);
	return 0;
}

static int set_libraries(const struct fns_cli_paths *p, bool shim)
{
	char preload[3 * PATH_MAX];
	/*
	 * Preloading our libraries by path also covers programs with a DT_RPATH, which comes before
	 * LD_LIBRARY_PATH. Spaces and colons separate LD_PRELOAD's items and cannot be quoted: then
	 * by name, through LD_LIBRARY_PATH.
	 */
	bool by_path = strpbrk(p->libdirs, " ;") == NULL;
	int n = 0;

	if (strchr(p->ibverbs, ':') != NULL || strchr(p->ibverbs, ';') != NULL)
		return fns_cli_error(FNS_EXIT_FAILURE,
			"%s: the dynamic linker takes ':' and ';' in a directory's name for separators; move FlexiNS to a "
			"directory without them",
			p->ibverbs);
	if (shim)
		n = snprintf(
			preload, sizeof(preload), "%s:", by_path ? p->shim : "libflexins-shim.so");
	snprintf(preload + n, sizeof(preload) - (size_t)n, "%s:%s",
		by_path ? p->ibverbs : "libibverbs.so.1", by_path ? p->rdmacm : "librdmacm.so.1");
	/* What the user preloads stays first: sanitizers insist on it. */
	if (extend("LD_PRELOAD", preload, true) != 0 ||
		extend("LD_LIBRARY_PATH", p->libdirs, false) != 0)
		return fns_cli_error(FNS_EXIT_FAILURE, "out of memory");
	return 0;
}

static int set_sysfs(void)
{
	static struct fns_netdev dev[FNS_MAX_DEVICES];
	unsigned n = fns_netdev_discover(dev, FNS_MAX_DEVICES);
	char root[PATH_MAX];
	int rc = fns_cli_tree_make(dev, n, root, sizeof(root));

	if (rc == 0)
		setenv("FLEXINS_SYSFS", root, 1);
	if (rc == 0 && n == 0)
		fns_cli_error(0,
			"warning: no network interface can be used, so there will be no device; "
			"`flexins devices` tells more");
	return rc;
}

/* Where execvp() will find name: "" if nowhere. */
static void find_command(const char *name, char out[static PATH_MAX])
{
	const char *dirs = getenv("PATH");

	out[0] = '\0';
	if (strchr(name, '/') != NULL) {
		snprintf(out, PATH_MAX, "%s", name);
		return;
	}
	while (dirs != NULL && *dirs != '\0') {
		size_t len = strcspn(dirs, ":");

		if ((size_t)snprintf(out, PATH_MAX, "%.*s/%s", (int)len, dirs, name) < PATH_MAX &&
			access(out, X_OK) == 0)
			return;
		dirs += len + (dirs[len] == ':');
		out[0] = '\0';
	}
}

/* An ELF executable of this machine's class that names no dynamic linker? Anything doubtful is not
 * called static. */
static bool is_static(int fd)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_phentsize != sizeof(ph))
		return false;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) !=
				sizeof(ph) ||
			ph.p_type == PT_INTERP)
			return false;
	}
	return true;
}

/* Says what would otherwise be a riddle: the program runs, but sees no device. */
static void warn_out_of_reach(const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	find_command(name, path);
	fd = path[0] != '\0' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (((st.st_mode & S_ISUID) != 0 && st.st_uid != getuid()) ||
			((st.st_mode & S_ISGID) != 0 && st.st_gid != getgid()))
			fns_cli_error(0,
				"warning: %s is set-uid or set-gid, so the dynamic linker ignores FlexiNS's settings in it",
				path);
		else if (is_static(fd))
			fns_cli_error(0,
				"warning: %s is statically linked, so FlexiNS has no effect on it",
				path);
	}
	close(fd);
}

int fns_cli_run(int argc, char **argv)
{
	static struct fns_cli_paths paths;
	struct run_opts o = {.sysfs = true};
	int rc = parse(argc, argv, &o);
	const char *port = getenv("FLEXINS_PORT");

	if (rc != 0 || o.command == NULL)
		return rc;
	if (port != NULL && *port != '\0')
		rc = fns_cli_check_port("FLEXINS_PORT", port);
	if (rc != 0)
		return rc;
	rc = check_settings();
	if (rc == 0)
		rc = check_service();
	if (rc == 0)
		rc = fns_cli_paths_find(&paths);
	if (rc != 0)
		return rc;
	if (o.verbose > 0)
		setenv("FLEXINS_LOG", o.verbose > 1 ? "debug" : "info", 1);
	if (paths.daemon[0] != '\0')
		setenv("FLEXINS_DAEMON", paths.daemon, 0);
	if (o.sysfs)
		rc = set_sysfs();
	else
		unsetenv("FLEXINS_SYSFS");
	if (rc == 0)
		rc = set_libraries(&paths, o.sysfs);
	if (rc != 0)
		return rc;
	if (o.verbose > 0) {
		const char *tree = getenv("FLEXINS_SYSFS");

		fns_cli_error(0, "libraries: %s", paths.libdirs);
		fns_cli_error(0, "sysfs: %s", tree != NULL ? tree : "the system's");
	}
	warn_out_of_reach(o.command[0]);

	execvp(o.command[0], o.command);
	rc = errno;
	return fns_cli_error(rc == ENOENT ? FNS_EXIT_NOT_FOUND : FNS_EXIT_CANNOT_EXEC,
		"cannot run '%s': %s%s", o.command[0], strerror(rc),
		rc == ENOENT && strchr(o.command[0], ' ') != NULL
			? "; a command with arguments goes without quotes: flexins run -- COMMAND ARGUMENT..."
			: "");
}
