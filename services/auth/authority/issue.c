/* issue: X.509 by lib/identity, OpenSSH by lib/sshcert, from one set of claims. */
#include "authority/issue.h"

#include "authz/authz.h"
#include "bytes/secret.h"
#include "message.h"
#include "names/names.h"
#include "sshcert/sshcert.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 16
#define CERTIFICATE_BYTES_MAX 32768

/* ---- X.509 ---- */

static rl_code append_der(X509 *certificate, ProtobufCBinaryData **chain, size_t *count,
                          struct rl_error *err)
{
    struct rl_buf der;
    rl_buf_init(&der, CERTIFICATE_BYTES_MAX);
    rl_code rc = rl_x509_to_der(certificate, &der, err);
    if (rc == RL_OK)
        rl_message_append_bytes(chain, count, rl_buf_span(&der));
    rl_buf_fini(&der);
    return rc;
}

/* The certificate and its authority: whoever pins the authority finds it in the chain. */
static rl_code issue_x509(const struct rl_identity_request *request,
                          const struct rl_authority *authority, ProtobufCBinaryData **chain,
                          size_t *count, struct rl_error *err)
{
    X509 *certificate = NULL;
    rl_code rc =
        rl_identity_issue(request, authority->certificate, authority->key, &certificate, err);
    if (rc == RL_OK)
        rc = append_der(certificate, chain, count, err);
    if (rc == RL_OK)
        rc = append_der(authority->certificate, chain, count, err);
    X509_free(certificate);
    return rc;
}

/* ---- users ---- */

static void copy_text_list(char *const *from, size_t n, char ***to, size_t *count)
{
    for (size_t i = 0; i < n; i++)
        rl_message_append(to, count, rl_strdup(from[i]));
}

static Pb__IdentityClaims *claims_of(const char *cluster, int64_t now_ns)
{
    Pb__IdentityClaims *claims = rl_message_create(&pb__identity_claims__descriptor);
    claims->format = 1;
    rl_message_text(&claims->cluster, cluster);
    claims->issued_at_ns = now_ns;
    return claims;
}

static Pb__IdentityClaims *user_claims(const char *cluster, const struct rl_user_grant *grant)
{
    const Pb__User *user = grant->user;
    Pb__IdentityClaims *claims = claims_of(cluster, grant->now_ns);
    char session[RL_UUID_TEXT_BYTES];
    rl_uuid4(session);
    rl_message_text(&claims->session_id, session);
    rl_message_text(&claims->user, user->metadata->name);
    rl_message_text(&claims->mfa, grant->mfa);
    claims->no_reissue = grant->no_reissue;
    copy_text_list(user->spec->roles, user->spec->n_roles, &claims->roles, &claims->n_roles);
    for (size_t i = 0; i < user->spec->n_traits; i++)
        rl_message_append(&claims->traits, &claims->n_traits,
                          rl_message_copy(&user->spec->traits[i]->base));
    return claims;
}

/* What the roles of a user come to. */
struct rights {
    const Pb__Role **roles;
    size_t role_count;
    char **logins;
    size_t login_count;
    uint64_t ttl_s;
    bool port_forwarding, forward_agent;
};

static void rights_init(struct rights *r, const struct rl_snapshot *snapshot, const char *cluster,
                        const struct rl_user_grant *grant)
{
    const Pb__UserSpec *spec = grant->user->spec;
    *r = (struct rights){.roles = rl_alloc_array(spec->n_roles, sizeof *r->roles)};
    for (size_t i = 0; i < spec->n_roles; i++) {
        const Pb__Role *role = rl_snapshot_role(snapshot, spec->roles[i]);
        if (!role)
            continue;
        r->roles[r->role_count++] = role;
        const Pb__RoleOptions *options = role->spec ? role->spec->options : NULL;
        r->port_forwarding |= options && options->has_port_forwarding && options->port_forwarding;
        r->forward_agent |= options && options->has_forward_agent && options->forward_agent;
    }
    struct rl_authz_subject subject = {
        .user = grant->user->metadata->name,
        .cluster = cluster,
        .home_cluster = cluster,
        .roles = r->roles,
        .role_count = r->role_count,
        .traits = spec->traits,
        .trait_count = spec->n_traits,
        .issued_at_ns = grant->now_ns,
        .mfa = grant->mfa,
    };
    rl_authz_logins(&subject, &r->logins, &r->login_count);
    uint64_t most = rl_authz_session_ttl_s(&subject, grant->ttl_max_s);
    uint64_t asked = grant->ttl_s ? grant->ttl_s : grant->ttl_max_s;
    r->ttl_s = asked < most ? asked : most;
    if (r->ttl_s < RL_USER_TTL_S_MIN)
        r->ttl_s = RL_USER_TTL_S_MIN;
}

static void rights_fini(struct rights *r)
{
    for (size_t i = 0; i < r->login_count; i++)
        free(r->logins[i]);
    free(r->logins);
    free(r->roles);
}

static rl_code issue_ssh(const struct rl_sshcert_request *request, EVP_PKEY *ca,
                         ProtobufCBinaryData *out, struct rl_error *err)
{
    struct rl_buf blob;
    rl_buf_init(&blob, RL_SSHCERT_BYTES_MAX);
    rl_code rc = rl_sshcert_issue(request, ca, &blob, err);
    if (rc == RL_OK)
        rl_message_bytes(out, rl_buf_span(&blob));
    rl_buf_fini(&blob);
    return rc;
}

static uint64_t random_serial(void)
{
    uint64_t serial;
    rl_random(&serial, sizeof serial);
    return serial;
}

static rl_code issue_user_ssh(const struct rl_snapshot *snapshot, const struct rl_user_grant *grant,
                              const struct rights *rights, const Pb__IdentityClaims *claims,
                              ProtobufCBinaryData *out, struct rl_error *err)
{
    static const char *const nobody[] = {RL_NO_LOGIN_PRINCIPAL};
    struct rl_buf packed;
    rl_buf_init(&packed, RL_IDENTITY_CLAIMS_BYTES_MAX);
    rl_message_pack(&claims->base, &packed);
    struct rl_sshcert_option extensions[4] = {
        {RL_SSHCERT_EXTENSION_IDENTITY, rl_buf_span(&packed)},
        {"permit-pty", RL_SPAN(NULL, 0)},
    };
    size_t n = 2;
    if (rights->port_forwarding)
        extensions[n++] = (struct rl_sshcert_option){"permit-port-forwarding", RL_SPAN(NULL, 0)};
    if (rights->forward_agent)
        extensions[n++] = (struct rl_sshcert_option){"permit-agent-forwarding", RL_SPAN(NULL, 0)};
    uint64_t now_s = (uint64_t)(grant->now_ns / 1000000000);
    struct rl_sshcert_request request = {
        .kind = RL_SSHCERT_USER,
        .subject = grant->ssh_public_key,
        .serial = random_serial(),
        .key_id = grant->user->metadata->name,
        .principals = rights->login_count ? (const char *const *)rights->logins : nobody,
        .principals_n = rights->login_count ? rights->login_count : 1,
        .valid_after_s = now_s - RL_IDENTITY_BACKDATE_S,
        .valid_before_s = now_s + rights->ttl_s,
        .extensions = extensions,
        .extensions_n = n,
    };
    rl_code rc = packed.failed
                     ? rl_fail(err, RL_E_INVAL, "the user's roles and traits are too long")
                     : issue_ssh(&request, snapshot->authorities->user_ssh.key, out, err);
    rl_buf_fini(&packed);
    return rc;
}

static rl_code issue_user_x509(const struct rl_snapshot *snapshot, const char *cluster,
                               const struct rl_user_grant *grant, uint64_t ttl_s,
                               const Pb__IdentityClaims *claims, Pb__LoginResponse *reply,
                               struct rl_error *err)
{
    EVP_PKEY *subject = NULL;
    rl_code rc = rl_key_from_spki(grant->tls_public_key, &subject, err);
    if (rc != RL_OK)
        return rc;
    struct rl_identity_request request = {
        .kind = RL_IDENTITY_USER,
        .cluster = cluster,
        .name = grant->user->metadata->name,
        .subject = subject,
        .claims = claims,
        .now_s = grant->now_ns / 1000000000,
        .ttl_s = ttl_s,
    };
    rc = issue_x509(&request, &snapshot->authorities->user_x509, &reply->tls_chain,
                    &reply->n_tls_chain, err);
    EVP_PKEY_free(subject);
    return rc;
}

static void describe_user(const struct rl_snapshot *snapshot, const struct rl_user_grant *grant,
                          const struct rights *rights, Pb__LoginResponse *reply)
{
    const Pb__User *user = grant->user;
    rl_message_text(&reply->user, user->metadata->name);
    rl_message_text(&reply->cluster, snapshot->authorities->bundle->cluster);
    rl_message_text(&reply->mfa, grant->mfa);
    reply->trust = rl_message_copy(&snapshot->authorities->bundle->base);
    copy_text_list(user->spec->roles, user->spec->n_roles, &reply->roles, &reply->n_roles);
    copy_text_list(rights->logins, rights->login_count, &reply->logins, &reply->n_logins);
    for (size_t i = 0; i < user->spec->n_traits; i++)
        rl_message_append(&reply->traits, &reply->n_traits,
                          rl_message_copy(&user->spec->traits[i]->base));
    int64_t until_ns =
        grant->now_ns / 1000000000 * 1000000000 + (int64_t)rights->ttl_s * 1000000000;
    reply->valid_until_ns = until_ns;
    reply->ssh_valid_until_ns = reply->ssh_certificate.len ? until_ns : 0;
}

rl_code rl_issue_user(const struct rl_snapshot *snapshot, const char *cluster,
                      const struct rl_user_grant *grant, Pb__LoginResponse *reply,
                      struct rl_error *err)
{
    struct rights rights;
    rights_init(&rights, snapshot, cluster, grant);
    Pb__IdentityClaims *claims = user_claims(cluster, grant);
    rl_code rc = issue_user_x509(snapshot, cluster, grant, rights.ttl_s, claims, reply, err);
    if (rc == RL_OK && grant->ssh_public_key.n)
        rc = issue_user_ssh(snapshot, grant, &rights, claims, &reply->ssh_certificate, err);
    if (rc == RL_OK)
        describe_user(snapshot, grant, &rights, reply);
    pb__identity_claims__free_unpacked(claims, NULL);
    rights_fini(&rights);
    return rc;
}

rl_code rl_issue_check_keys(struct rl_span tls_public_key, struct rl_span ssh_public_key,
                            struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    rl_code rc = rl_key_from_spki(tls_public_key, &key, err);
    if (rc == RL_OK && EVP_PKEY_get_id(key) != EVP_PKEY_EC)
        rc = rl_fail(err, RL_E_INVAL, "it must be ECDSA P-256");
    if (rc != RL_OK)
        rl_error_prefix(err, "the TLS key");
    EVP_PKEY_free(key);
    if (rc != RL_OK || ssh_public_key.n == 0)
        return rc;
    key = NULL;
    rc = rl_sshkey_public_parse(ssh_public_key, &key, err);
    if (rc != RL_OK)
        rl_error_prefix(err, "the SSH key");
    EVP_PKEY_free(key);
    return rc;
}

/* ---- agents and services ---- */

rl_code rl_issue_check_addresses(char *const *addresses, size_t count, struct rl_error *err)
{
    if (count > ADDRESSES_MAX)
        return rl_fail(err, RL_E_INVAL, "a certificate names at most %d addresses", ADDRESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *suffix = strcasestr(addresses[i], "remoteler.internal");
        if (suffix)
            return rl_fail(err, RL_E_INVAL, "the name %s is not yours to have", addresses[i]);
    }
    return RL_OK;
}

/* A replica is reached through the proxy by its own name. */
static char *replica_name(const char *kind, const char *cluster, const char *id)
{
    return rl_sprintf("%s.%s.%s" RL_TLS_SNI_SUFFIX, id, kind, cluster);
}

static Pb__IdentityClaims *instance_claims(const char *cluster, const struct rl_instance *instance,
                                           int64_t now_ns)
{
    Pb__IdentityClaims *claims = claims_of(cluster, now_ns);
    claims->generation = instance->generation;
    claims->unprivileged = instance->unprivileged;
    rl_message_text(&claims->node_name, instance->name);
    copy_text_list(instance->agent_kinds, instance->agent_kind_count, &claims->agent_kinds,
                   &claims->n_agent_kinds);
    return claims;
}

uint64_t rl_node_certificate_ttl_s(const Pb__ClusterConfigSpec *config)
{
    return config->node_certificate_ttl_s ? config->node_certificate_ttl_s : RL_INSTANCE_TTL_S;
}

uint64_t rl_node_return_grace_s(const Pb__ClusterConfigSpec *config)
{
    return config->node_return_grace_s ? config->node_return_grace_s : RL_RETURN_GRACE_S;
}

static rl_code issue_instance_x509(const struct rl_snapshot *snapshot, const char *cluster,
                                   const struct rl_instance *instance, int64_t now_ns,
                                   char *const *addresses, size_t address_count,
                                   Pb__JoinResponse *reply, struct rl_error *err)
{
    bool is_agent = strcmp(instance->kind, "agent") == 0;
    rl_code rc = rl_issue_check_addresses(addresses, address_count, err);
    EVP_PKEY *subject = NULL;
    if (rc == RL_OK)
        rc = rl_key_from_spki(rl_buf_span(&instance->tls_key), &subject, err);
    if (rc != RL_OK)
        return rc;
    char *names[ADDRESSES_MAX + 1];
    size_t n = 0;
    for (; n < address_count; n++)
        names[n] = addresses[n];
    char *own = replica_name(instance->kind, cluster, instance->id);
    if (!is_agent)
        names[n++] = own;
    Pb__IdentityClaims *claims = instance_claims(cluster, instance, now_ns);
    struct rl_identity_request request = {
        .kind = is_agent ? RL_IDENTITY_AGENT : RL_IDENTITY_SERVICE,
        .cluster = cluster,
        .name = instance->id,
        .service = is_agent ? NULL : instance->kind,
        .subject = subject,
        .claims = claims,
        .now_s = now_ns / 1000000000,
        .ttl_s = is_agent ? rl_node_certificate_ttl_s(snapshot->config->spec) : RL_INSTANCE_TTL_S,
        .addresses = (const char *const *)names,
        .address_count = n,
    };
    rc = issue_x509(&request,
                    is_agent ? &snapshot->authorities->host_x509 : &snapshot->authorities->service,
                    &reply->tls_chain, &reply->n_tls_chain, err);
    pb__identity_claims__free_unpacked(claims, NULL);
    free(own);
    EVP_PKEY_free(subject);
    return rc;
}

static rl_code issue_host_ssh(const struct rl_snapshot *snapshot, const char *cluster,
                              const struct rl_instance *instance, int64_t now_ns,
                              ProtobufCBinaryData *out, struct rl_error *err)
{
    char *id_in_cluster = rl_sprintf("%s.%s", instance->id, cluster);
    char *name_in_cluster = rl_sprintf("%s.%s", instance->name, cluster);
    const char *principals[] = {instance->id, id_in_cluster, instance->name, name_in_cluster};
    uint64_t now_s = (uint64_t)(now_ns / 1000000000);
    struct rl_sshcert_request request = {
        .kind = RL_SSHCERT_HOST,
        .subject = rl_buf_span(&instance->ssh_key),
        .serial = random_serial(),
        .key_id = instance->id,
        .principals = principals,
        .principals_n = *instance->name ? 4 : 2,
        .valid_after_s = now_s - RL_IDENTITY_BACKDATE_S,
        .valid_before_s = now_s + rl_node_certificate_ttl_s(snapshot->config->spec),
    };
    rl_code rc = issue_ssh(&request, snapshot->authorities->host_ssh.key, out, err);
    free(id_in_cluster);
    free(name_in_cluster);
    return rc;
}

rl_code rl_issue_instance(const struct rl_snapshot *snapshot, const char *cluster,
                          const struct rl_instance *instance, int64_t now_ns,
                          char *const *addresses, size_t address_count, Pb__JoinResponse *reply,
                          struct rl_error *err)
{
    rl_code rc = issue_instance_x509(snapshot, cluster, instance, now_ns, addresses, address_count,
                                     reply, err);
    if (rc == RL_OK && instance->ssh_key.n)
        rc = issue_host_ssh(snapshot, cluster, instance, now_ns, &reply->ssh_certificate, err);
    if (rc != RL_OK)
        return rc;
    rl_message_text(&reply->id, instance->id);
    rl_message_text(&reply->name, instance->name);
    reply->trust = rl_message_copy(&snapshot->authorities->bundle->base);
    reply->time_ns = now_ns;
    reply->generation = instance->generation;
    rl_instance_labels(instance, &reply->labels, &reply->n_labels);
    return RL_OK;
}

/* ---- auth itself ---- */

static rl_code own_identity(const Pb__JoinResponse *reply, EVP_PKEY *key,
                            struct rl_tls_identity **out, struct rl_error *err)
{
    struct rl_span chain[RL_IDENTITY_CHAIN_MAX];
    size_t n = 0;
    for (; n < reply->n_tls_chain && n < RL_COUNT(chain); n++)
        chain[n] = RL_BINARY(reply->tls_chain[n]);
    return rl_tls_identity_create(chain, n, key, out, err);
}

static rl_code issue_own_chain(const struct rl_snapshot *snapshot, const char *cluster,
                               const char *id, EVP_PKEY *key, char **names, size_t name_count,
                               int64_t now_ns, Pb__JoinResponse *reply, struct rl_error *err)
{
    Pb__IdentityClaims *claims = claims_of(cluster, now_ns);
    struct rl_identity_request request = {
        .kind = RL_IDENTITY_SERVICE,
        .cluster = cluster,
        .name = id,
        .service = "auth",
        .subject = key,
        .claims = claims,
        .now_s = now_ns / 1000000000,
        .ttl_s = RL_INSTANCE_TTL_S,
        .addresses = (const char *const *)names,
        .address_count = name_count,
    };
    rl_code rc = issue_x509(&request, &snapshot->authorities->service, &reply->tls_chain,
                            &reply->n_tls_chain, err);
    pb__identity_claims__free_unpacked(claims, NULL);
    return rc;
}

rl_code rl_issue_own(const struct rl_snapshot *snapshot, const char *cluster, const char *id,
                     char *const *addresses, size_t address_count, int64_t now_ns,
                     struct rl_tls_identity **out, struct rl_error *err)
{
    rl_code rc = rl_issue_check_addresses(addresses, address_count, err);
    EVP_PKEY *key = NULL;
    if (rc == RL_OK)
        rc = rl_key_generate_p256(&key, err);
    if (rc != RL_OK)
        return rc;
    /* Whoever joins does not know the cluster's name yet. */
    char nameless[] = "auth" RL_TLS_SNI_SUFFIX;
    char *own = replica_name("auth", cluster, id);
    char *names[ADDRESSES_MAX + 2] = {nameless, own};
    size_t n = 2;
    for (size_t i = 0; i < address_count; i++)
        names[n++] = addresses[i];
    Pb__JoinResponse *reply = rl_message_create(&pb__join_response__descriptor);
    rc = issue_own_chain(snapshot, cluster, id, key, names, n, now_ns, reply, err);
    if (rc == RL_OK)
        rc = own_identity(reply, key, out, err);
    pb__join_response__free_unpacked(reply, NULL);
    free(own);
    EVP_PKEY_free(key);
    return rc;
}
