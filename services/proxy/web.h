/* web: the rules of the web route that are pure. */
#ifndef PROXY_WEB_H
#define PROXY_WEB_H

#include "status/status.h"

/** Is this request's Host for the connection it came on? `sni` is lower case; "" when there was
 * none: then only an address or "localhost" is taken. */
bool web_host_matches(const char *host, const char *sni);

#endif
