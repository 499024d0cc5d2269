/*
 * fsync() of a file whose name ends in ".tmp" returns only when there is no
 * file "hold" in its folder: so a test can stop a process between writing a
 * file and renaming it.  LD_PRELOAD; 60 s at most.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>


int
fsync(int fd)
{
    int      i;
    char     link[64], path[4096], *slash;
    ssize_t  n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 8);
    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');

    if (slash && n > 4 && strcmp(path + n - 4, ".tmp") == 0) {
        memcpy(slash + 1, "hold", sizeof("hold"));

        for (i = 0; i < 6000 && access(path, F_OK) == 0; i++) {
            usleep(10000);
        }
    }

    return fdatasync(fd);
}
