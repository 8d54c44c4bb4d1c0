/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the errors that the fault wire makes up for a queue pair, in virtual time. */
#include "fault_rig.h"

#include <errno.h>

/* Receives at most one view: its syndrome and PSN. False: none. */
static bool response(struct rig *r, uint8_t *syndrome, uint32_t *psn)
{
	struct fns_rx_view v[FNS_RX_BATCH];
	struct fns_hdr h;
	unsigned n;

	r->now += 200000;
	n = r->w->ops->rx_burst(r->w, v, FNS_RX_BATCH);
	assert_in_range(n, 0, 1);
	if (n == 0)
		return false;
	assert_int_equal(fns_hdr_parse(v[0].data, v[0].len, &h), FNS_HDR_OK);
	assert_int_equal(h.dest_qp, QPN);
	assert_int_equal(h.opcode, FNS_OP_ACK);
	assert_true(fns_gid_equal(&v[0].src, &r->path.remote));
	*syndrome = h.syndrome;
	*psn = h.psn;
	r->w->ops->rx_release(r->w, &v[0]);
	return true;
}

static void test_inject_access(void **s)
{
	static const uint32_t mine = QPN, other = QPN + 1;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	r->qp.una = 3; /* 3 and 4 are on their way */
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), 0);
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -EBUSY);
	assert_false(fns_wire_fault_idle(r->w));
	send_all(r, 3, 6, &mine); /* 3 and 4 again, then 5 to 8 */
	send_all(r, 3, 6, &other);
	assert_int_equal(r->nsent, 8);
	assert_int_equal(r->sent[1].psn, 4);
	/* A NAK would acknowledge 3 and 4, which nobody has. */
	assert_false(response(r, &syndrome, &psn));
	assert_true(r->w->ops->next(r->w) <= r->now + 100000);
	r->qp.una = 5;
	assert_true(response(r, &syndrome, &psn));
	assert_int_equal(syndrome, FNS_AETH_NAK | FNS_NAK_REMOTE_ACCESS);
	assert_int_equal(psn, 5);
	assert_int_equal(counted(r, FNS_C_fault_errors), 1);
	assert_true(fns_wire_fault_idle(r->w));
	send_all(r, 9, 1, &mine);
	assert_int_equal(r->nsent, 9);
	rig_free(r);
}

static void test_inject_rnr_counted(void **s)
{
	static const uint32_t mine = QPN;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RNR, 2), 0);
	for (int i = 0; i < 2; i++) {
		send_all(r, 5, 1, &mine);
		assert_true(response(r, &syndrome, &psn));
		assert_int_equal(syndrome & FNS_AETH_TYPE_MASK, FNS_AETH_RNR);
		assert_false(response(r, &syndrome, &psn)); /* one for each attempt */
	}
	send_all(r, 5, 1, &mine);
	assert_int_equal(r->nsent, 1);
	assert_true(fns_wire_fault_idle(r->w));
	rig_free(r);
}

static void test_inject_retry(void **s)
{
	static const uint32_t mine = QPN;
	struct rig *r = rig_make(NULL);
	uint8_t syndrome;
	uint32_t psn;

	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RETRY, 0), 0);
	for (int i = 0; i < 8; i++)
		send_all(r, 5, 1, &mine);
	assert_int_equal(r->nsent, 0);
	assert_false(response(r, &syndrome, &psn));
	r->qp.rts = false; /* it gave up */
	assert_false(response(r, &syndrome, &psn));
	assert_true(fns_wire_fault_idle(r->w));
	rig_free(r);
}

static void test_inject_refused(void **s)
{
	struct rig *r = rig_make(NULL);

	assert_int_equal(fns_wire_fault_inject(r->w, QPN + 1, FNS_FAULT_ERR_ACCESS, 0), -ENOENT);
	r->qp.rnr_retry = 7;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RNR, 0), -ERANGE);
	r->qp.timeout = 0;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_RETRY, 0), -ERANGE);
	r->qp.rts = false;
	assert_int_equal(fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -ENOTCONN);
	r->qp.rc = false;
	assert_int_equal(
		fns_wire_fault_inject(r->w, QPN, FNS_FAULT_ERR_ACCESS, 0), -EPROTONOSUPPORT);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inject_access),
		cmocka_unit_test(test_inject_rnr_counted),
		cmocka_unit_test(test_inject_retry),
		cmocka_unit_test(test_inject_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
