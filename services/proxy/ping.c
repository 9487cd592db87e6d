#include "ping.h"

#include "clock/clock.h"
#include "identity/identity.h"
#include "protocol/protocol.h"

#include <jansson.h>
#include <stdlib.h>

static void add_certificate(json_t *list, const ProtobufCBinaryData *der)
{
    X509 *certificate = NULL;
    struct rl_buf pem;
    rl_buf_init(&pem, 65536);
    if (rl_x509_from_der(RL_SPAN(der->data, der->len), &certificate, NULL) == RL_OK &&
        rl_x509_to_pem(certificate, &pem, NULL) == RL_OK)
        json_array_append_new(list, json_string(rl_buf_text(&pem)));
    X509_free(certificate);
    rl_buf_fini(&pem);
}

char *ping_text(const struct ping *ping, const Pb__TrustBundle *bundle)
{
    char now[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(ping->now_ns, now);
    json_t *authorities = json_array();
    for (size_t i = 0; bundle && i < bundle->n_service_cas; i++)
        add_certificate(authorities, &bundle->service_cas[i]);
    char *auth = rl_sprintf("auth.%s.remoteler.internal", ping->cluster);
    json_t *object = json_pack(
        "{s:s, s:s, s:i, s:i, s:s, s:s, s:o, s:{s:s, s:s}}", "cluster", ping->cluster, "version",
        RL_VERSION, "protocol", RL_PROTOCOL, "protocol_min", RL_PROTOCOL_MIN, "ca_pin",
        bundle && bundle->ca_pin ? bundle->ca_pin : "", "time", now, "service_cas", authorities,
        "server", "address", ping->public_address, "auth_server_name", auth);
    RL_ASSERT(object);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    free(auth);
    return text;
}
