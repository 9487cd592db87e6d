/* page: what a browser sees that comes to the proxy. */
#ifndef PROXY_PAGE_H
#define PROXY_PAGE_H

/** The index page for this cluster; heap. `cluster` is a checked name: it needs no escaping. */
char *page_index(const char *cluster, const char *public_address);

#endif
