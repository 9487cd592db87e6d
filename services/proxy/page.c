#include "page.h"

#include "status/status.h"

char *page_index(const char *cluster, const char *public_address)
{
    return rl_sprintf(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<title>Remoteler: %s</title>\n"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;"
        "padding:0 1rem}code{background:#eee;padding:.1em .3em}</style></head>\n"
        "<body><h1>Remoteler</h1>\n"
        "<p>This is the proxy of the cluster <b>%s</b>, version " RL_VERSION ". People reach "
        "machines behind it with <code>tsh</code> and plain <code>ssh</code>:</p>\n"
        "<p><code>tsh login --proxy=%s</code></p>\n"
        "<p>There is no web interface in this version.</p></body></html>\n",
        cluster, cluster, public_address);
}
