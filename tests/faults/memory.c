/* A host whose memory somebody else holds: of a block larger than a file of one long says, nothing is given; 0 gives all. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile long *largest;
static int (*given)(void **, size_t, size_t);

__attribute__((constructor)) static void open_memory(void) {
    const char *path = getenv("FAULTS_MEMORY");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    given = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) largest = found;
}

/* what torch takes for its tensors */
int posix_memalign(void **where, size_t alignment, size_t size) {
    if (largest && *largest && size > (size_t)*largest) return ENOMEM;
    return given(where, alignment, size);
}
