#include "places.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

/* In a bucket by its key, and in a list by when it was used last. */
struct place {
    struct place *in_bucket;
    struct place *older, *newer;
    char *key;
    int64_t time_s; /* when auth said so */
    size_t n;
    uint8_t *packed;
};

struct places {
    struct place *buckets[BUCKETS];
    struct place *oldest, *newest;
    size_t count;
};

struct places *places_create(void)
{
    return rl_alloc(sizeof(struct places));
}

static size_t bucket_of(const char *key)
{
    uint64_t hash = 14695981039346656037ull;
    for (const char *c = key; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
    return (size_t)(hash % BUCKETS);
}

static char *text_of(const struct place_key *key)
{
    return rl_sprintf("%s\n%s\n%s\n%s\n%s", key->user, key->user_cluster, key->cluster, key->kind,
                      key->target);
}

/* ---- the list ---- */

static void unlist(struct places *p, struct place *place)
{
    if (place->older)
        place->older->newer = place->newer;
    else
        p->oldest = place->newer;
    if (place->newer)
        place->newer->older = place->older;
    else
        p->newest = place->older;
}

static void list_as_newest(struct places *p, struct place *place)
{
    place->newer = NULL;
    place->older = p->newest;
    if (place->older)
        place->older->newer = place;
    else
        p->oldest = place;
    p->newest = place;
}

static void drop(struct places *p, struct place *place)
{
    struct place **at = &p->buckets[bucket_of(place->key)];
    while (*at != place)
        at = &(*at)->in_bucket;
    *at = place->in_bucket;
    unlist(p, place);
    p->count--;
    free(place->key);
    free(place->packed);
    free(place);
}

void places_free(struct places **places)
{
    if (!*places)
        return;
    while ((*places)->oldest)
        drop(*places, (*places)->oldest);
    free(*places);
    *places = NULL;
}

/* ---- by key ---- */

static struct place *find(const struct places *p, const struct place_key *key)
{
    char *text = text_of(key);
    struct place *place = p->buckets[bucket_of(text)];
    while (place && strcmp(place->key, text) != 0)
        place = place->in_bucket;
    free(text);
    return place;
}

void places_forget(struct places *places, const struct place_key *key)
{
    struct place *place = find(places, key);
    if (place)
        drop(places, place);
}

void places_put(struct places *places, const struct place_key *key,
                const Pb__ResolveTargetResponse *where, int64_t now_s)
{
    places_forget(places, key);
    if (places->count == PLACES_MAX)
        drop(places, places->oldest);
    Pb__ResolveTargetResponse kept = *where; /* borrows its strings */
    kept.n_broker_ids = 0;
    kept.is_online = true;
    struct place *place = rl_alloc(sizeof *place);
    place->key = text_of(key);
    place->time_s = now_s;
    place->n = pb__resolve_target_response__get_packed_size(&kept);
    place->packed = rl_alloc(place->n);
    pb__resolve_target_response__pack(&kept, place->packed);
    size_t bucket = bucket_of(place->key);
    place->in_bucket = places->buckets[bucket];
    places->buckets[bucket] = place;
    list_as_newest(places, place);
    places->count++;
}

Pb__ResolveTargetResponse *places_get(struct places *places, const struct place_key *key,
                                      int64_t now_s, int64_t max_age_s)
{
    struct place *place = find(places, key);
    if (!place || now_s - place->time_s > max_age_s)
        return NULL;
    unlist(places, place);
    list_as_newest(places, place);
    return pb__resolve_target_response__unpack(NULL, place->n, place->packed);
}
