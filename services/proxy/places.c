#include "places.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

/* In a bucket by its key, and in a list by its age. */
struct place {
    struct place *in_bucket;
    struct place *older, *newer;
    char *key; /* user, a line feed, target: a name has no line feed */
    int64_t time_s;
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

static void drop(struct places *p, struct place *place)
{
    struct place **at = &p->buckets[bucket_of(place->key)];
    while (*at != place)
        at = &(*at)->in_bucket;
    *at = place->in_bucket;
    if (place->older)
        place->older->newer = place->newer;
    else
        p->oldest = place->newer;
    if (place->newer)
        place->newer->older = place->older;
    else
        p->newest = place->older;
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

static struct place *find(const struct places *p, const char *key)
{
    struct place *place = p->buckets[bucket_of(key)];
    while (place && strcmp(place->key, key) != 0)
        place = place->in_bucket;
    return place;
}

void places_forget(struct places *places, const char *user, const char *target)
{
    char *key = rl_sprintf("%s\n%s", user, target);
    struct place *place = find(places, key);
    if (place)
        drop(places, place);
    free(key);
}

void places_put(struct places *places, const char *user, const char *target,
                const Pb__ResolveTargetResponse *where, int64_t now_s)
{
    places_forget(places, user, target);
    if (places->count == PLACES_MAX)
        drop(places, places->oldest);
    struct place *place = rl_alloc(sizeof *place);
    place->key = rl_sprintf("%s\n%s", user, target);
    place->time_s = now_s;
    place->n = pb__resolve_target_response__get_packed_size(where);
    place->packed = rl_alloc(place->n);
    pb__resolve_target_response__pack(where, place->packed);
    size_t bucket = bucket_of(place->key);
    place->in_bucket = places->buckets[bucket];
    places->buckets[bucket] = place;
    place->older = places->newest;
    if (place->older)
        place->older->newer = place;
    else
        places->oldest = place;
    places->newest = place;
    places->count++;
}

Pb__ResolveTargetResponse *places_get(const struct places *places, const char *user,
                                      const char *target, int64_t now_s)
{
    char *key = rl_sprintf("%s\n%s", user, target);
    const struct place *place = find(places, key);
    free(key);
    if (!place || now_s - place->time_s > PLACES_AGE_S)
        return NULL;
    return pb__resolve_target_response__unpack(NULL, place->n, place->packed);
}
