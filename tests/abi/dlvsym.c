/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlvsym LIBIBVERBS: picks functions by version as NCCL and other programs do that do not link to
 * libibverbs, checks the data symbol, and that the library stays when it is closed (its helper
 * thread may still run).
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned errors;

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			errors++;                                                                  \
		}                                                                                  \
	} while (0)

static const struct {
	const char *name, *version;
	bool there;
} wanted[] = {
	{"ibv_get_device_list", "IBVERBS_1.1", true},
	{"ibv_get_device_list", "IBVERBS_1.0", true},
	{"ibv_open_device", "IBVERBS_1.1", true},
	{"ibv_query_port", "IBVERBS_1.1", true},
	{"ibv_query_gid", "IBVERBS_1.1", true},
	{"ibv_reg_mr", "IBVERBS_1.1", true},
	{"ibv_create_comp_channel", "IBVERBS_1.0", true},
	{"ibv_get_sysfs_path", "IBVERBS_1.0", true},
	{"ibv_copy_qp_attr_from_kern", "IBVERBS_1.0", true},
	{"ibv_fork_init", "IBVERBS_1.1", true},
	{"ibv_event_type_str", "IBVERBS_1.1", true},
	{"ibv_get_pkey_index", "IBVERBS_1.5", true},
	{"ibv_qp_to_qp_ex", "IBVERBS_1.6", true},
	{"ibv_reg_mr_iova2", "IBVERBS_1.8", true},
	{"ibv_get_device_index", "IBVERBS_1.9", true},
	{"ibv_query_ece", "IBVERBS_1.10", true},
	{"ibv_set_ece", "IBVERBS_1.10", true},
	{"_ibv_query_gid_ex", "IBVERBS_1.11", true},
	{"ibv_reg_dmabuf_mr", "IBVERBS_1.12", true},
	{"ibv_is_fork_initialized", "IBVERBS_1.13", true},
	{"ibv_query_qp_data_in_order", "IBVERBS_1.14", true},
	{"ibv_query_gid_type", "IBVERBS_PRIVATE_34", true},
	{"verbs_register_driver_34", "IBVERBS_PRIVATE_34", true},
	{"verbs_register_driver_59", "IBVERBS_PRIVATE_59", true},
	{"ibv_cmd_reg_mr", "IBVERBS_PRIVATE_34", true},
	{"ibv_cmd_reg_mr", "IBVERBS_PRIVATE_65", true},
	{"ibv_reg_mr_iova2", "IBVERBS_1.1", false},
	{"verbs_register_driver_59", "IBVERBS_PRIVATE_34", false},
	{"ibv_no_such_function", "IBVERBS_1.1", false},
	{"fns_abi_execute_ioctl", "IBVERBS_PRIVATE_34", false},
};

static unsigned symbol_type(void *address)
{
	const ElfW(Sym) *sym = NULL;
	Dl_info info;

	if (dladdr1(address, &info, (void **)&sym, RTLD_DL_SYMENT) == 0 || sym == NULL)
		return STT_NOTYPE;
	return ELF64_ST_TYPE(sym->st_info);
}

int main(int argc, char **argv)
{
	int (*not_supported)(void);
	bool *data;
	void *lib;

	if (argc != 2) {
		fprintf(stderr, "usage: dlvsym LIBIBVERBS\n");
		return 2;
	}
	lib = dlopen(argv[1], RTLD_NOW);
	if (lib == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		bool there = dlvsym(lib, wanted[i].name, wanted[i].version) != NULL;

		if (there != wanted[i].there) {
			fprintf(stderr, "%s@%s is %s\n", wanted[i].name, wanted[i].version,
				there ? "there" : "missing");
			errors++;
		}
	}

	/* Without a version the default one comes. */
	CHECK(dlsym(lib, "ibv_get_device_list") ==
		dlvsym(lib, "ibv_get_device_list", "IBVERBS_1.1"));
	CHECK(dlsym(lib, "ibv_get_device_list") !=
		dlvsym(lib, "ibv_get_device_list", "IBVERBS_1.0"));

	/* Providers store through it: as a function it would crash them. */
	data = dlvsym(lib, "verbs_allow_disassociate_destroy", "IBVERBS_PRIVATE_34");
	CHECK(data != NULL && symbol_type(data) == STT_OBJECT);
	CHECK(data == dlvsym(lib, "verbs_allow_disassociate_destroy", "IBVERBS_PRIVATE_59"));
	if (data != NULL) {
		*data = true;
		CHECK(*data);
		*data = false;
	}

	*(void **)&not_supported = dlvsym(lib, "ibv_cmd_create_qp", "IBVERBS_PRIVATE_34");
	CHECK(not_supported != NULL && not_supported() == EOPNOTSUPP);
	CHECK(dlclose(lib) == 0);
	CHECK(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL);
	CHECK(not_supported != NULL && not_supported() == EOPNOTSUPP); /* still mapped */
	return errors != 0;
}
