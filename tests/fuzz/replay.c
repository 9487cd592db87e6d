/* replay: runs a fuzz target over files, so that a corpus is an ordinary test where there is no
 * libFuzzer. Arguments are files or directories of files; a run without a single input fails. After
 * --refuse-memory it runs over some of them only, and again and again, each time with another
 * allocation refused. */
#include "fuzz.h"
#include "starve.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STARVED_INPUTS 3 /* of a corpus; RL_STARVE_INPUTS in the environment says otherwise */

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned inputs;
static bool refuses_memory;

bool fuzz_is_starved(void)
{
    return starve_has_begun();
}

static void run(void *context)
{
    const struct input *input = context;
    LLVMFuzzerTestOneInput(input->data, input->size);
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    size_t size = 0;
    FILE *whole = open_memstream(&data, &size);
    if (!file || !whole) {
        perror(path);
        exit(1);
    }
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;)
        fwrite(part, 1, n, whole);
    fclose(file);
    fclose(whole);
    /* A copy of just this size: a read past the end is then seen. */
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        exit(1);
    memcpy(exact, data, size);
    struct input input = {exact, size};
    run(&input);
    const struct starve what = {.name = path, .run = run, .context = &input};
    int failed = refuses_memory && starve(&what) != 0;
    free(exact);
    free(data);
    inputs++;
    return failed;
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Of many, some from all over: they are sorted, and so are those of one kind beside each other. */
static int chosen(int count)
{
    const char *text = getenv("RL_STARVE_INPUTS");
    int max = text ? atoi(text) : STARVED_INPUTS;
    return refuses_memory && max > 0 && max < count ? max : count;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_shown, alphasort), failed = count < 0;
    for (int i = 0, n = chosen(count); i < n; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i * count / n]->d_name);
        failed |= replay(inner);
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--refuse-memory") == 0)
            refuses_memory = true;
        else
            failed |= replay(argv[i]);
    printf("%u inputs\n", inputs);
    return failed || inputs == 0;
}
