/* schema: the tables. A migration that was released is never changed: the next one is. */
#include "db/schema.h"

static const char cluster_sql[] =
    "CREATE TABLE cluster ("
    "  one boolean PRIMARY KEY DEFAULT true CHECK (one),"
    "  name text NOT NULL,"
    "  config bytea NOT NULL," /* ClusterConfigSpec */
    "  config_revision bigint NOT NULL DEFAULT 1,"
    "  created timestamptz NOT NULL DEFAULT now());"
    /* The one counter: locked by whatever changes policy, and what a reader asks \"since?\" by. */
    "CREATE TABLE revision ("
    "  one boolean PRIMARY KEY DEFAULT true CHECK (one),"
    "  number bigint NOT NULL);"
    "INSERT INTO revision (number) VALUES (1);"
    "CREATE TABLE authorities ("
    "  id uuid PRIMARY KEY,"
    "  kind text NOT NULL,"
    "  format text NOT NULL,"
    "  public_key bytea NOT NULL,"
    "  private_key bytea NOT NULL," /* wrapped */
    "  phase text NOT NULL CHECK (phase IN ('active', 'standby', 'retiring')),"
    "  created timestamptz NOT NULL DEFAULT now());"
    "CREATE UNIQUE INDEX authorities_active ON authorities (kind, format) WHERE phase = 'active';";

static const char users_sql[] =
    "CREATE TABLE roles ("
    "  name text PRIMARY KEY,"
    "  spec bytea NOT NULL," /* RoleSpec */
    "  label_keys text[] NOT NULL DEFAULT '{}',"
    "  label_values text[] NOT NULL DEFAULT '{}',"
    "  revision bigint NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE users ("
    "  name text PRIMARY KEY,"
    "  roles text[] NOT NULL,"
    "  traits bytea NOT NULL," /* UserSpec, its traits only */
    "  label_keys text[] NOT NULL DEFAULT '{}',"
    "  label_values text[] NOT NULL DEFAULT '{}',"
    "  password_hash text,"
    "  totp_secret bytea," /* wrapped */
    "  totp_last_step bigint NOT NULL DEFAULT -1,"
    "  certificates_until timestamptz NOT NULL DEFAULT '-infinity',"
    "  revision bigint NOT NULL DEFAULT 1,"
    "  created timestamptz NOT NULL DEFAULT now());"
    /* By any name that was tried: an unknown one must look like a known one. */
    "CREATE TABLE login_failures ("
    "  user_name text PRIMARY KEY,"
    "  failed_at timestamptz[] NOT NULL,"
    "  locked_until timestamptz NOT NULL DEFAULT '-infinity');"
    "CREATE TABLE invitations ("
    "  token_hash bytea PRIMARY KEY,"
    "  user_name text NOT NULL REFERENCES users ON DELETE CASCADE,"
    "  totp_secret bytea NOT NULL," /* wrapped */
    "  is_reset boolean NOT NULL,"
    "  failures integer NOT NULL DEFAULT 0,"
    "  expires timestamptz NOT NULL);"
    "CREATE INDEX invitations_user ON invitations (user_name);"
    "CREATE TABLE cuts ("
    "  user_name text NOT NULL,"
    "  cluster text NOT NULL,"
    "  issued_before timestamptz NOT NULL,"
    "  reason text NOT NULL,"
    "  expires timestamptz NOT NULL," /* when the last certificate that it voids has ended */
    "  PRIMARY KEY (user_name, cluster));"
    "CREATE TABLE locks ("
    "  name text PRIMARY KEY,"
    "  target_kind text NOT NULL,"
    "  target_name text NOT NULL,"
    "  target_cluster text NOT NULL,"
    "  message text NOT NULL,"
    "  created_by text NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now(),"
    "  expires timestamptz,"
    "  revision bigint NOT NULL);";

static const char instances_sql[] =
    "CREATE TABLE tokens ("
    "  id text PRIMARY KEY,"
    "  secret_hash bytea NOT NULL UNIQUE,"
    "  types text[] NOT NULL,"
    "  names text[] NOT NULL,"
    "  label_keys text[] NOT NULL,"
    "  label_values text[] NOT NULL,"
    "  uses_left integer NOT NULL CHECK (uses_left >= 0),"
    "  created_by text NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now(),"
    "  expires timestamptz NOT NULL);"
    /* Everything that joined: agents and services. */
    "CREATE TABLE instances ("
    "  id uuid PRIMARY KEY,"
    "  kind text NOT NULL CHECK (kind IN ('agent', 'proxy', 'broker', 'audit')),"
    "  name text UNIQUE," /* of a node: its first holder's */
    "  hostname text NOT NULL,"
    "  agent_kinds text[] NOT NULL,"
    "  tls_key bytea NOT NULL,"
    "  previous_tls_key bytea," /* until the new one was seen */
    "  ssh_key bytea NOT NULL,"
    "  generation bigint NOT NULL DEFAULT 1,"
    "  own_label_keys text[] NOT NULL,"
    "  own_label_values text[] NOT NULL,"
    "  token_label_keys text[] NOT NULL," /* these win */
    "  token_label_values text[] NOT NULL,"
    "  mode text NOT NULL DEFAULT 'tunnel' CHECK (mode IN ('tunnel', 'direct')),"
    "  address text NOT NULL DEFAULT '',"
    "  version text NOT NULL,"
    "  unprivileged boolean NOT NULL,"
    "  peer_address text NOT NULL,"
    "  token_id text NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now(),"
    "  last_seen timestamptz NOT NULL DEFAULT now());"
    "CREATE SEQUENCE attachment_epoch;"
    "CREATE TABLE attachments ("
    "  agent_id uuid NOT NULL REFERENCES instances ON DELETE CASCADE,"
    "  holder_id uuid NOT NULL,"       /* a broker, or the auth that a direct node follows */
    "  offered_epoch bigint NOT NULL," /* the latest that was handed out */
    "  epoch bigint NOT NULL DEFAULT 0,"
    "  is_attached boolean NOT NULL DEFAULT false,"
    "  peer_address text NOT NULL DEFAULT '',"
    "  changed timestamptz NOT NULL DEFAULT now(),"
    "  PRIMARY KEY (agent_id, holder_id));"
    "CREATE INDEX attachments_holder ON attachments (holder_id) WHERE is_attached;"
    /* Who is alive. A broker's lease is that of all its agents. */
    "CREATE TABLE leases ("
    "  id uuid PRIMARY KEY,"
    "  kind text NOT NULL CHECK (kind IN ('auth', 'proxy', 'broker', 'audit')),"
    "  version text NOT NULL,"
    "  dial_address text NOT NULL,"
    "  attach_address text NOT NULL,"
    "  control_address text NOT NULL,"
    "  peer_address text NOT NULL,"
    "  draining boolean NOT NULL,"
    "  last_seen timestamptz NOT NULL DEFAULT now(),"
    "  expires timestamptz NOT NULL);";

static const char checkpoints_sql[] =
    "CREATE TABLE checkpoints ("
    "  number bigint PRIMARY KEY,"
    "  checkpoint bytea NOT NULL," /* Checkpoint, as it was signed */
    "  signature bytea NOT NULL,"
    "  key_id text NOT NULL,"
    "  made timestamptz NOT NULL DEFAULT clock_timestamp());";

static const char rotations_sql[] =
    /* Retired: no private key, trusted by nobody; by it auth recognises who comes to renew. */
    "ALTER TABLE authorities DROP CONSTRAINT authorities_phase_check;"
    "ALTER TABLE authorities ADD CONSTRAINT authorities_phase_check"
    "  CHECK (phase IN ('active', 'standby', 'retiring', 'retired'));"
    "ALTER TABLE authorities ADD COLUMN retired timestamptz;"
    "CREATE TABLE rotations ("
    "  kind text PRIMARY KEY CHECK (kind IN ('user', 'host')),"
    "  phase text NOT NULL"
    "    CHECK (phase IN ('init', 'update_clients', 'update_servers', 'rollback')),"
    "  is_manual boolean NOT NULL,"
    "  grace_s bigint NOT NULL,"
    "  started timestamptz NOT NULL,"
    "  next timestamptz);" /* NULL: when an administrator says */
    ;

static const char clusters_sql[] =
    /* Roots, whose users may come here. */
    "CREATE TABLE trusted_clusters ("
    "  name text PRIMARY KEY,"
    "  label_keys text[] NOT NULL,"
    "  label_values text[] NOT NULL,"
    "  enabled boolean NOT NULL,"
    "  proxy text NOT NULL,"
    "  role_map bytea NOT NULL,"   /* TrustedClusterSpec, its role_map only */
    "  token_hash bytea NOT NULL," /* of the token by which trust was established */
    "  trust bytea NOT NULL,"      /* TrustBundle */
    "  trust_id bytea NOT NULL,"
    "  told_sha256 bytea NOT NULL," /* of our authorities, as the root heard them last */
    "  policy bytea NOT NULL,"      /* what the root sealed for this cluster, with the seal */
    "  policy_version bigint NOT NULL,"
    "  policy_sha256 bytea NOT NULL,"
    "  policy_nonce bytea NOT NULL," /* that the first one has to answer */
    "  revision bigint NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE root_attachments ("
    "  root text NOT NULL REFERENCES trusted_clusters ON DELETE CASCADE,"
    "  broker_id uuid NOT NULL," /* of ours */
    "  is_attached boolean NOT NULL,"
    "  code integer NOT NULL,"
    "  message text NOT NULL,"
    "  seen timestamptz," /* when it was attached last */
    "  PRIMARY KEY (root, broker_id));"
    /* Leaves, which our users may reach. */
    "CREATE TABLE remote_clusters ("
    "  name text PRIMARY KEY,"
    "  label_keys text[] NOT NULL,"
    "  label_values text[] NOT NULL,"
    "  trust bytea NOT NULL," /* TrustBundle */
    "  trust_id bytea NOT NULL UNIQUE,"
    "  version text NOT NULL,"
    "  token_id text NOT NULL,"
    "  revision bigint NOT NULL,"
    "  created timestamptz NOT NULL DEFAULT now(),"
    "  established timestamptz NOT NULL DEFAULT now(),"
    "  last_seen timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE leaf_attachments ("
    "  leaf text NOT NULL REFERENCES remote_clusters ON DELETE CASCADE,"
    "  replica uuid NOT NULL,"   /* a broker of the leaf */
    "  holder_id uuid NOT NULL," /* one of ours */
    "  offered_epoch bigint NOT NULL,"
    "  epoch bigint NOT NULL DEFAULT 0,"
    "  is_attached boolean NOT NULL DEFAULT false,"
    "  peer_address text NOT NULL DEFAULT '',"
    "  changed timestamptz NOT NULL DEFAULT now(),"
    "  PRIMARY KEY (leaf, replica, holder_id));"
    "CREATE INDEX leaf_attachments_holder ON leaf_attachments (holder_id) WHERE is_attached;"
    /* What a leaf has to tell or ask its root, until that has heard it. */
    "CREATE TABLE errands ("
    "  kind text NOT NULL CHECK (kind IN ('update', 'leave', 'state')),"
    "  trust_id bytea NOT NULL,"
    "  root text NOT NULL,"
    "  proxy text NOT NULL,"
    "  trust bytea NOT NULL," /* TrustBundle: by which the root is known */
    "  tries integer NOT NULL DEFAULT 0,"
    "  created timestamptz NOT NULL DEFAULT now(),"
    "  next timestamptz NOT NULL DEFAULT now(),"
    "  PRIMARY KEY (kind, trust_id));";

const struct rl_migration rl_auth_migrations[] = {
    {1, "the cluster and its authorities", cluster_sql},
    {2, "users, roles, locks and cuts", users_sql},
    {3, "tokens, instances and where they are", instances_sql},
    {4, "checkpoints of the audit log", checkpoints_sql},
    {5, "authorities that rotate", rotations_sql},
    {6, "other clusters", clusters_sql},
};
const size_t rl_auth_migration_count = RL_COUNT(rl_auth_migrations);
