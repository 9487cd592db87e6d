/* footprint: only segments that nobody writes to are given back: what the loader has put in place
 * in the others would be lost. */
#include "footprint/footprint.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Without huge pages: one byte of the program would be two megabytes. */
static void give_back(uintptr_t from, uintptr_t to)
{
    if (from >= to)
        return;
    madvise((void *)from, to - from, MADV_NOHUGEPAGE);
    madvise((void *)from, to - from, MADV_DONTNEED);
}

/* The program's own file comes first; libraries are shared with others. */
static int trim_program(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), written = UINTPTR_MAX;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && segment->p_flags & PF_W) {
            uintptr_t at = info->dlpi_addr + segment->p_vaddr;
            written = at < written ? at : written;
        }
    }
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W)
            continue;
        uintptr_t from = info->dlpi_addr + segment->p_vaddr, to = from + segment->p_memsz;
        from = (from + page - 1) / page * page;
        to = to / page * page;
        give_back(from, to < written ? to : written / page * page);
    }
    return 1;
}

void rl_footprint_trim(void)
{
    dl_iterate_phdr(trim_program, NULL);
    malloc_trim(0);
}
