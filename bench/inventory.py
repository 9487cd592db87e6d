"""What a large inventory costs those who look into it."""

import os

from pairs import AT_MOST, Failed, compare, measure, timed

PAIRS = int(os.environ.get("RL_BENCH_PAIRS", "5"))
FEW, MANY = 10, int(os.environ.get("RL_BENCH_NODES", "10000"))
RUNS = 3  # of each, in a pair; the fastest counts: what else happens only slows
TIMEOUT_S = 120

# Those of other benchmarks: their programs are gone.
FORGET = "DELETE FROM auth.instances WHERE hostname ~ '^bench-[0-9]+$';"
# Nodes that joined and are offline, beside those of the cluster: some labels each, no two alike.
FILL = """
DELETE FROM auth.instances WHERE hostname LIKE 'bench-inventory-%';
INSERT INTO auth.instances (id, kind, name, hostname, agent_kinds, tls_key, ssh_key, own_label_keys,
        own_label_values, token_label_keys, token_label_values, version, unprivileged, peer_address, token_id)
    SELECT gen_random_uuid(), 'agent', 'inventory-' || n, 'bench-inventory-' || n, '{{node}}', '', '',
        '{{env,rack}}', ARRAY['bench', 'rack-' || n % 100], '{{}}', '{{}}', '0.1.0', false, '192.0.2.1', 'bench'
    FROM generate_series(1, {count}) n;
"""
# As autovacuum would have done by the time that somebody looks.
SETTLE = "VACUUM (ANALYZE) auth.instances;"


def show(bench, nodes):
    """`tsh ls` with so many nodes in all; in milliseconds."""
    remoteler = bench.remoteler
    remoteler.sql(FORGET)
    others = int(remoteler.sql("SELECT count(*) FROM auth.instances WHERE kind = 'agent'"
                               " AND hostname NOT LIKE 'bench-inventory-%'"))
    remoteler.sql(FILL.format(count=max(nodes - others, 0)))
    remoteler.sql(SETTLE)
    env = dict(remoteler.cluster.env, TSH_HOME=str(remoteler.cluster.home))
    shown = len(remoteler.cluster.tsh("ls", "--format=json", timeout=TIMEOUT_S).check().json)
    if shown != max(nodes, others):
        raise Failed(f"tsh ls shows {shown} nodes of {nodes}")
    return 1e3 * min(timed([["tsh", "ls"]], env, TIMEOUT_S) for _ in range(RUNS))


def inventory(bench):
    """`tsh ls`, all nodes visible to the user."""
    try:
        many, few = measure([lambda: show(bench, MANY), lambda: show(bench, FEW)], PAIRS)
    finally:
        bench.remoteler.sql("DELETE FROM auth.instances WHERE hostname LIKE 'bench-inventory-%'")
    yield {
        "variant": f"tsh ls, {MANY} against {FEW}",
        **compare(many, few, "ms", (AT_MOST, 3.0)),
    }


BENCHMARKS = {"inventory": inventory}
