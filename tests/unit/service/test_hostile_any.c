/* SPDX-License-Identifier: Apache-2.0 */
/* Applications that say whatever comes to their mind. */
#include "good.h"

/* --- anything --- */

/* A number of a kind that means something to the service, or does not. */
static uint32_t a_handle(const struct app *a)
{
	switch (any() % 8) {
	case 0:
		return good.a.pd;
	case 1:
		return good.cq.handle;
	case 2:
		return good.qp.qpn;
	case 3:
		return a->pd;
	case 4:
		return (uint32_t)any();
	case 5:
		return 0;
	default:
		return 1 + (uint32_t)(any() % 8);
	}
}

static void random_ctl(struct app *a, struct fns_ctl *c)
{
	uint8_t *b = (uint8_t *)c;

	for (size_t i = 0; i < sizeof(*c); i++)
		b[i] = any() % 4 ? 0 : (uint8_t)any();
	c->op = 1 + (uint32_t)(any() % 23);
	c->client = any() % 16 ? a->client : (uint32_t)(any() % 5);
	c->handle = a_handle(a);
	switch (c->op) {
	case FNS_CTL_CQ_CREATE:
	case FNS_CTL_CQ_RESIZE:
		c->cq.log2 = (uint32_t)(any() % 8);
		break;
	case FNS_CTL_QP_CREATE:
		c->qp.pd = a_handle(a);
		c->qp.send_cq = 1 + (uint32_t)(any() % 4);
		c->qp.recv_cq = 1 + (uint32_t)(any() % 4);
		c->qp.srq = any() % 2;
		c->qp.type = 2 + (uint8_t)(any() % 3);
		c->qp.cap = (struct fns_ctl_qp_cap){4, 4, 2, 2, 64};
		break;
	case FNS_CTL_MR_REG:
	case FNS_CTL_MR_REREG:
		c->mr.pd = a_handle(a);
		c->mr.access = (uint32_t)(any() % 32);
		c->mr.len = any() % 10000;
		c->mr.addr = any() % 2 ? (uintptr_t)good.mem : any();
		break;
	case FNS_CTL_SRQ_CREATE:
		c->srq.pd = a_handle(a);
		c->srq.max_wr = (uint32_t)(any() % 64);
		c->srq.max_sge = (uint32_t)(any() % 20);
		break;
	case FNS_CTL_AH_CREATE:
		c->ah.pd = a_handle(a);
		c->ah.av.is_global = 1;
		break;
	default:
		break;
	}
}

/* Two applications that say whatever comes to their mind, and come back when they are thrown out.
 */
static void test_anything(void **state)
{
	struct fns_service_msg m;
	struct app a[2];

	app_start(&a[0]);
	app_start(&a[1]);
	for (unsigned i = 0; i < 20000; i++) {
		struct app *x = &a[any() % 2];
		int fd = -1, rc;

		if (any() % 400 == 0) {
			app_leave(x);
			app_start(x);
		}
		fns_service_msg_init(&m, FNS_SERVICE_CTL);
		random_ctl(x, &m.ctl.ctl);
		m.ctl.file_off = any() % 2 ? 0 : any();
		if (any() % 500 == 0)
			m.type = FNS_SERVICE_ATOMIC_DONE;
		if (any() % 3)
			fd = memory_file_ok(fns_service_cq_bytes((uint32_t)(any() % 8)));
		rc = fns_service_msg_send(x->sock, &m, fd, MSG_DONTWAIT);
		if (fd >= 0)
			close(fd);
		x->sq->slot[any() % FNS_SERVICE_RING_SLOTS].ctl = (uint32_t)any();
		rounds(1);
		while (rc == 0 && any() % 8 &&
			(rc = fns_service_msg_recv(x->sock, &m, &fd, MSG_DONTWAIT)) == 0)
			assert_int_equal(fd, -1);
		if (rc == -ECONNRESET) {
			app_leave(x);
			app_start(x);
		}
		if (i % 1000 == 0)
			good_works();
	}
	app_leave(&a[0]);
	app_leave(&a[1]);
	assert_int_equal(atomic_load(&worker->n_conns), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_anything),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
