#include "home.h"
#include "sshconfig.h"

#include <limits.h>

static struct rl_error err;

#define DIR_OF(name) "/profiles/" name

/* What the node list of auth names. */
struct listed {
    const char *name, *id; /* NULL: none */
};

static rl_code keep(const char *proxy, const struct listed *listed, size_t count)
{
    struct tsh_profile profile;
    struct tsh_nodes nodes = {.count = count};
    ck_assert_int_eq(tsh_profile_open(proxy, &profile, &err), RL_OK);
    nodes.items = rl_alloc_array(count, sizeof *nodes.items);
    for (size_t i = 0; i < count; i++)
        nodes.items[i] = (struct tsh_node){
            .id = listed[i].id ? listed[i].id : "",
            .name = listed[i].name ? listed[i].name : "",
        };
    rl_code rc = tsh_sshconfig_keep_nodes(&profile, &nodes, &err);
    free(nodes.items);
    tsh_profile_fini(&profile);
    return rc;
}

static char *written(const char *file)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, file);
    return read_text(path);
}

/* The block of one profile, as it has to be. */
static char *block_of(const char *names, const char *cluster, const char *proxy, const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    return rl_sprintf("Host %s*.%s \"!*'*\"\n"
                      "    ProxyCommand '%s' proxy ssh --home='%s' --proxy=%s --cluster=%s -- "
                      "'%%n:%%p'\n"
                      "    IdentityFile \"%s/profiles/%s/id\"\n"
                      "    CertificateFile \"%s/profiles/%s/id-cert.pub\"\n"
                      "    IdentitiesOnly yes\n"
                      "    UserKnownHostsFile \"%s/profiles/%s/known_hosts\"\n"
                      "    GlobalKnownHostsFile /dev/null\n"
                      "    StrictHostKeyChecking yes\n"
                      "    HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com\n"
                      "    UpdateHostKeys no\n"
                      "    CheckHostIP no\n\n",
                      names, cluster, self, home, proxy, cluster, home, name, home, name, home,
                      name);
}

static const char head[] = "# Written by tsh at each login; changes are lost. Its hosts are the "
                           "nodes that you may see.\n\n";

START_TEST(the_file_is_exactly_this)
{
    static const struct listed nodes[] = {{"node-a", UUID}, {"node-r1", NULL}};
    char *ca = NULL;
    log_in(PROXY, CLUSTER, FUTURE, &ca);
    ck_assert_int_eq(keep(PROXY, nodes, RL_COUNT(nodes)), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    char *block = block_of("node-a " UUID " node-r1 ", CLUSTER, PROXY, "root.example.com_443");
    char *whole = rl_sprintf("%s%s", head, block);
    ck_assert_str_eq(config, whole);
    char *hosts = written("profiles/root.example.com_443/known_hosts");
    char *line = rl_sprintf("@cert-authority node-a," UUID ",node-r1,*." CLUSTER " %s\n", ca);
    ck_assert_str_eq(hosts, line);
    free(config);
    free(block);
    free(whole);
    free(hosts);
    free(line);
    free(ca);
}
END_TEST

START_TEST(openssh_reads_it_as_it_is_meant)
{
    static const struct listed nodes[] = {{"node-a", UUID}};
    char command[256];
    if (system("command -v ssh >/dev/null 2>&1") != 0)
        return;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(keep(PROXY, nodes, RL_COUNT(nodes)), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    static const struct {
        const char *host;
        bool is_ours;
    } cases[] = {
        {"node-a", true},       {UUID, true},       {"anything." CLUSTER, true},
        {"example.com", false}, {"node-ab", false}, {"\"x';id;'." CLUSTER "\"", false},
        {"anode-a", false},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        snprintf(command, sizeof command,
                 "ssh -F %s/ssh_config -G %s 2>/dev/null | grep -qi '^proxycommand .*proxy ssh'",
                 home, cases[i].host);
        ck_assert_msg((system(command) == 0) == cases[i].is_ours, "%s", cases[i].host);
    }
}
END_TEST

START_TEST(odd_names_never_get_in)
{
    static const struct listed nodes[] = {
        {"good", NULL},  {"two words", "not-a-uuid"}, {"a\nHost *", NULL}, {"*", "*"},
        {"!good", NULL}, {"quo'te", "quo\"te"},       {"UPPER", NULL},     {"dot.ted", NULL},
        {"", ""},        {"-oProxyCommand=x", NULL},  {"\xc3\xa9", NULL},  {NULL, UUID},
        {NULL, NULL},
    };
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(keep(PROXY, nodes, RL_COUNT(nodes)), RL_OK);
    char *list = written("profiles/root.example.com_443/nodes");
    ck_assert_str_eq(list, "good\n" UUID "\n");
    free(list);
}
END_TEST

START_TEST(a_list_that_was_tampered_with_is_checked_again)
{
    char path[160];
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    snprintf(path, sizeof path, "%s/profiles/root.example.com_443/nodes", home);
    write_text(path, "node-a\n* \nx'y\n\n    ProxyCommand touch /tmp/x\n" UUID);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    ck_assert_ptr_nonnull(strstr(config, "\nHost node-a " UUID " *." CLUSTER " \"!*'*\"\n"));
    ck_assert_ptr_null(strstr(config, "touch"));
    free(config);
}
END_TEST

START_TEST(a_key_that_is_none_makes_no_authority)
{
    static const char evil[] = "\0\0\0\x1ax\n@cert-authority * ssh-rsa\0\0\0\0";
    struct tsh_profile profile;
    Pb__TrustBundle trust = PB__TRUST_BUNDLE__INIT;
    char cluster[] = CLUSTER;
    char bytes[sizeof evil];
    memcpy(bytes, evil, sizeof evil);
    ProtobufCBinaryData ca = {sizeof evil - 1, (uint8_t *)bytes};
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    trust.cluster = cluster;
    trust.n_host_ssh_cas = 1;
    trust.host_ssh_cas = &ca;
    ck_assert_int_eq(tsh_profile_save(&profile, profile.status, &trust, &err), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *hosts = written("profiles/root.example.com_443/known_hosts");
    ck_assert_str_eq(hosts, "");
    free(hosts);
    tsh_profile_fini(&profile);
}
END_TEST

START_TEST(several_logins_are_several_blocks_and_the_current_ones_is_first)
{
    static const struct listed nodes[] = {{"node-a", NULL}};
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    log_in("a.example:8443", "a.example", FUTURE, NULL);
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(keep(PROXY, nodes, 1), RL_OK);
    ck_assert_int_eq(keep("a.example:8443", nodes, 1), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    char *first = block_of("node-a ", CLUSTER, PROXY, "root.example.com_443");
    char *second = block_of("node-a ", "a.example", "a.example:8443", "a.example_8443");
    char *whole = rl_sprintf("%s%s%s", head, first, second);
    ck_assert_str_eq(config, whole);
    free(config);
    free(first);
    free(second);
    free(whole);
}
END_TEST

/* Logged in at PROXY, with these leaves; the lines of their authorities. */
static void know_leaves(const char *const *names, size_t count, char **lines)
{
    struct tsh_profile profile;
    Pb__ClusterInfo *leaves[4];
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    for (size_t i = 0; i < count; i++)
        leaves[i] = a_leaf(names[i], &lines[i]);
    write_leaves(&profile, leaves, count);
    for (size_t i = 0; i < count; i++)
        pb__cluster_info__free_unpacked(leaves[i], NULL);
    tsh_profile_fini(&profile);
}

START_TEST(a_leafs_names_are_ours_and_its_authority_is_for_them_alone)
{
    static const struct listed nodes[] = {{"node-a", NULL}};
    static const char *const names[] = {"leaf", "edge." CLUSTER};
    char *ca = NULL, *lines[2];
    log_in(PROXY, CLUSTER, FUTURE, &ca);
    ck_assert_int_eq(keep(PROXY, nodes, 1), RL_OK);
    know_leaves(names, 2, lines);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    ck_assert_ptr_nonnull(
        strstr(config, "\nHost node-a *." CLUSTER " *.edge." CLUSTER " *.leaf \"!*'*\"\n"));
    char *hosts = written("profiles/root.example.com_443/known_hosts");
    char *expected =
        rl_sprintf("@cert-authority node-a,*." CLUSTER ",!*.edge." CLUSTER " %s\n"
                   "@cert-authority *.edge." CLUSTER " %s\n@cert-authority *.leaf %s\n",
                   ca, lines[1], lines[0]);
    ck_assert_str_eq(hosts, expected);
    free(config);
    free(hosts);
    free(expected);
    free(ca);
    free(lines[0]);
    free(lines[1]);
}
END_TEST

/* In a Host line a negated pattern makes the whole line not match. */
START_TEST(openssh_takes_a_leaf_below_the_roots_name_for_ours)
{
    static const char *const names[] = {"leaf", "edge." CLUSTER};
    static const char *const hosts[] = {"node-a." CLUSTER, "node-b.leaf", "node-b.edge." CLUSTER};
    char *lines[2], command[256];
    if (system("command -v ssh >/dev/null 2>&1") != 0)
        return;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    know_leaves(names, 2, lines);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    for (size_t i = 0; i < RL_COUNT(hosts); i++) {
        snprintf(command, sizeof command,
                 "ssh -F %s/ssh_config -G %s 2>/dev/null | grep -qi '^proxycommand .*proxy ssh'",
                 home, hosts[i]);
        ck_assert_msg(system(command) == 0, "%s", hosts[i]);
    }
    free(lines[0]);
    free(lines[1]);
}
END_TEST

START_TEST(where_two_logins_lead_to_one_cluster_the_current_one_is_taken)
{
    static const char *const names[] = {"leaf"};
    char *line;
    log_in("leaf.example:443", "leaf", FUTURE, NULL);
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    know_leaves(names, 1, &line);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    char *by_root = strstr(config, "\nHost *." CLUSTER " *.leaf \"!*'*\"\n");
    char *by_leaf = strstr(config, "\nHost \"!*'*\"\n");
    ck_assert(by_root && by_leaf && by_root < by_leaf);
    free(config);
    free(line);
}
END_TEST

START_TEST(one_clusters_block_can_be_had_alone)
{
    static const struct listed nodes[] = {{"node-a", NULL}};
    static const char *const names[] = {"leaf"};
    struct tsh_profile profile;
    struct rl_buf text;
    char *line;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(keep(PROXY, nodes, 1), RL_OK);
    know_leaves(names, 1, &line);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    rl_buf_init(&text, 65536);
    ck_assert_int_eq(tsh_sshconfig_of_cluster(&profile, "leaf", &text, &err), RL_OK);
    ck_assert_ptr_nonnull(strstr(rl_buf_text(&text), "Host *.leaf \"!*'*\"\n"));
    rl_buf_clear(&text);
    ck_assert_int_eq(tsh_sshconfig_of_cluster(&profile, CLUSTER, &text, &err), RL_OK);
    ck_assert_ptr_nonnull(strstr(rl_buf_text(&text), "Host node-a *." CLUSTER " \"!*'*\"\n"));
    ck_assert_int_eq(tsh_sshconfig_of_cluster(&profile, "leaf-2", &text, &err), RL_E_NOT_FOUND);
    rl_buf_fini(&text);
    tsh_profile_fini(&profile);
    free(line);
}
END_TEST

START_TEST(who_logged_out_has_no_block)
{
    struct tsh_profile profile;
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    ck_assert_int_eq(tsh_profile_forget(&profile, &err), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_write(home, &err), RL_OK);
    char *config = written("ssh_config");
    ck_assert_str_eq(config, head);
    free(config);
    tsh_profile_fini(&profile);
}
END_TEST

START_TEST(a_home_that_can_not_be_quoted_is_refused)
{
    static const char *const bad[] = {"a'b", "a\"b", "a%b", "a$b", "a`b", "a\\b", "a\nb"};
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_int_eq(tsh_sshconfig_check_path(bad[i], &err), RL_E_INVAL);
    ck_assert_int_eq(tsh_sshconfig_check_path("/home/some one/.tsh", &err), RL_OK);
}
END_TEST

START_TEST(who_lists_anew_says_so_before)
{
    static const struct listed nodes[] = {{"node-a", NULL}};
    struct tsh_profile profile;
    char path[160];
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
    ck_assert_int_eq(tsh_sshconfig_age_s(&profile), INT64_MAX);
    tsh_sshconfig_claim(&profile);
    ck_assert_int_eq(keep(PROXY, nodes, 1), RL_OK);
    snprintf(path, sizeof path, "touch -d '1 hour ago' %s/nodes", profile.dir);
    ck_assert_int_eq(system(path), 0);
    ck_assert_int_ge(tsh_sshconfig_age_s(&profile), 3600);
    tsh_sshconfig_claim(&profile);
    ck_assert_int_lt(tsh_sshconfig_age_s(&profile), 60);
    tsh_profile_fini(&profile);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("sshconfig");
    tcase_add_checked_fixture(t, home_make, home_remove);
    tcase_add_test(t, the_file_is_exactly_this);
    tcase_add_test(t, openssh_reads_it_as_it_is_meant);
    tcase_add_test(t, odd_names_never_get_in);
    tcase_add_test(t, a_list_that_was_tampered_with_is_checked_again);
    tcase_add_test(t, a_key_that_is_none_makes_no_authority);
    tcase_add_test(t, several_logins_are_several_blocks_and_the_current_ones_is_first);
    tcase_add_test(t, a_leafs_names_are_ours_and_its_authority_is_for_them_alone);
    tcase_add_test(t, openssh_takes_a_leaf_below_the_roots_name_for_ours);
    tcase_add_test(t, where_two_logins_lead_to_one_cluster_the_current_one_is_taken);
    tcase_add_test(t, one_clusters_block_can_be_had_alone);
    tcase_add_test(t, who_logged_out_has_no_block);
    tcase_add_test(t, a_home_that_can_not_be_quoted_is_refused);
    tcase_add_test(t, who_lists_anew_says_so_before);
    return run_suite(t, "sshconfig");
}
