/* gssapi: Debian's libssh.a calls Kerberos, which is not linked: every call answers that it is
 * not available (RFC 2744, 3.9.1). The arguments are not looked at. */
#include <stdint.h>

#define GSS_S_UNAVAILABLE (16u << 16)

void *GSS_C_NT_HOSTBASED_SERVICE;
void *GSS_C_NT_USER_NAME;

#define UNAVAILABLE(name)                                                                          \
    uint32_t name(uint32_t *minor_status);                                                         \
    uint32_t name(uint32_t *minor_status)                                                          \
    {                                                                                              \
        if (minor_status)                                                                          \
            *minor_status = 0;                                                                     \
        return GSS_S_UNAVAILABLE;                                                                  \
    }

UNAVAILABLE(gss_accept_sec_context)
UNAVAILABLE(gss_acquire_cred)
UNAVAILABLE(gss_add_oid_set_member)
UNAVAILABLE(gss_create_empty_oid_set)
UNAVAILABLE(gss_display_name)
UNAVAILABLE(gss_display_status)
UNAVAILABLE(gss_get_mic)
UNAVAILABLE(gss_import_name)
UNAVAILABLE(gss_indicate_mechs)
UNAVAILABLE(gss_init_sec_context)
UNAVAILABLE(gss_inquire_cred)
UNAVAILABLE(gss_inquire_cred_by_mech)
UNAVAILABLE(gss_release_buffer)
UNAVAILABLE(gss_release_cred)
UNAVAILABLE(gss_release_name)
UNAVAILABLE(gss_release_oid_set)
UNAVAILABLE(gss_test_oid_set_member)
UNAVAILABLE(gss_verify_mic)
