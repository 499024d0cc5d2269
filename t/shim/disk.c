/*
 * A disk that fails, hangs, fills up, or loses what was not synced, for all
 * below a folder called "spool".  LD_PRELOAD.
 *
 * Lines of "spool.disk" beside that folder say what is wrong now, "CALL WHAT"
 * with CALL write, read (pread), sync (of files), syncdir, make, lock, or
 * unlink (of first segments), and WHAT EIO, ENOSPC, hang (for as long as the
 * line stands, 60 s at most), lie (syncs and locks: it does nothing, and says
 * that it did), or once (EIO, and spool.disk is removed).
 *
 * "spool.log", if it is there, gets a line for each thing that has happened:
 *
 *   make PATH            a file or folder has its name
 *   rename OLD NEW
 *   sync PATH SIZE       so many bytes of it are on the disk
 *   syncdir PATH         and so are the names in it
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>


#define SPOOL  "/spool"
#define REAL(name)  ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))


/* The absolute path behind dir and name (NULL: dir's own).  0: not ours. */
static int
ours(int dir, const char *name, char *path, size_t size)
{
    int          n;
    char         link[64], base[4096];
    const char  *spool;

    base[0] = '\0';

    if (name == NULL || name[0] != '/') {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
        n = (int) readlink(link, base, sizeof(base) - 1);
        base[n > 0 ? n : 0] = '\0';
    }

    snprintf(path, size, "%s%s%s", base, name && base[0] ? "/" : "",
             name ? name : "");

    spool = strstr(path, SPOOL);

    return spool && (spool[sizeof(SPOOL) - 1] == '/'
                     || spool[sizeof(SPOOL) - 1] == '\0');
}


/* The file beside the spool with that ending. */
static void
beside(const char *path, const char *ending, char *dst, size_t size)
{
    snprintf(dst, size, "%.*s%s",
             (int) (strstr(path, SPOOL) - path + sizeof(SPOOL) - 1), path,
             ending);
}


/* What is wrong with `call` now: 0 nothing, 'l' lie, 'h' hang, 'o' once, or
 * errno. */
static int
wrong(const char *path, const char *call)
{
    int    what;
    char   name[4200], line[64], is[16], how[16];
    FILE  *control;

    beside(path, ".disk", name, sizeof(name));
    control = fopen(name, "re");

    if (control == NULL) {
        return 0;
    }

    what = 0;

    while (what == 0 && fgets(line, sizeof(line), control)) {

        if (sscanf(line, "%15s %15s", is, how) == 2 && strcmp(is, call) == 0) {
            what = strcmp(how, "EIO") == 0 ? EIO
                   : strcmp(how, "ENOSPC") == 0 ? ENOSPC : how[0];
        }
    }

    fclose(control);

    return what;
}


/* 0: go on; 1: it is said to have succeeded; -1: it failed, errno. */
static int
fault(const char *path, const char *call)
{
    int   i, what;
    char  name[4200];

    for (i = 0; i < 1200 && (what = wrong(path, call)) == 'h'; i++) {
        usleep(50000);
    }

    if (what == 0 || what == 'h') {
        return 0;
    }

    if (what == 'l') {
        return 1;
    }

    if (what == 'o') {
        beside(path, ".disk", name, sizeof(name));
        unlink(name);
        what = EIO;
    }

    errno = what;

    return -1;
}


static void
record(const char *path, const char *fmt, ...)
{
    int      fd, n;
    char     name[4200], line[9000];
    va_list  args;

    beside(path, ".log", name, sizeof(name));
    fd = REAL(open)(name, O_WRONLY|O_APPEND|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);

    n = (int) write(fd, line, (size_t) n);
    close(fd);
}


int
openat(int dir, const char *name, int flags, ...)
{
    int          fd, mode, made;
    char         path[4200];
    va_list      args;
    struct stat  st;

    va_start(args, flags);
    mode = va_arg(args, int);
    va_end(args);

    if (!(flags & O_CREAT) || !ours(dir, name, path, sizeof(path))) {
        return REAL(openat)(dir, name, flags, mode);
    }

    made = fstatat(dir, name, &st, 0) == -1;

    if (made && fault(path, "make") == -1) {
        return -1;
    }

    fd = REAL(openat)(dir, name, flags, mode);

    if (fd != -1 && made) {
        record(path, "make %s\n", path);
    }

    return fd;
}


int
mkdir(const char *name, mode_t mode)
{
    int   rc;
    char  path[4200];

    if (!ours(-1, name, path, sizeof(path))) {
        return REAL(mkdir)(name, mode);
    }

    /* a full disk does not say so of what is there already */

    if (access(path, F_OK) == 0) {
        errno = EEXIST;
        return -1;
    }

    if (fault(path, "make") == -1) {
        return -1;
    }

    rc = REAL(mkdir)(name, mode);

    if (rc == 0) {
        record(path, "make %s\n", path);
    }

    return rc;
}


int
rename(const char *from, const char *to)
{
    int   rc;
    char  path[4200];

    rc = REAL(rename)(from, to);

    if (rc == 0 && ours(-1, to, path, sizeof(path))) {
        record(path, "rename %s %s\n", from, to);
    }

    return rc;
}


int
renameat(int dir, const char *from, int to_dir, const char *to)
{
    int   rc;
    char  old[4200], path[4200];

    rc = REAL(renameat)(dir, from, to_dir, to);

    if (rc == 0 && ours(to_dir, to, path, sizeof(path))) {
        (void) ours(dir, from, old, sizeof(old));
        record(path, "rename %s %s\n", old, path);
    }

    return rc;
}


int
unlinkat(int dir, const char *name, int flags)
{
    char  path[4200];

    if (strcmp(name, "00000001.seg") == 0
        && ours(dir, name, path, sizeof(path)) && fault(path, "unlink") == -1)
    {
        return -1;
    }

    return REAL(unlinkat)(dir, name, flags);
}


ssize_t
pread(int fd, void *p, size_t n, off_t offset)
{
    char  path[4200];

    if (ours(fd, NULL, path, sizeof(path)) && fault(path, "read") == -1) {
        return -1;
    }

    return REAL(pread)(fd, p, n, offset);
}


/* Half of what is written comes to the disk before it fails. */
ssize_t
pwrite(int fd, const void *p, size_t n, off_t offset)
{
    int   failed;
    char  path[4200];

    if (ours(fd, NULL, path, sizeof(path)) && fault(path, "write") == -1) {
        failed = errno;
        (void) !REAL(pwrite)(fd, p, n / 2, offset);
        errno = failed;
        return -1;
    }

    return REAL(pwrite)(fd, p, n, offset);
}


static int
sync_file(int fd, int (*f)(int fd))
{
    int          rc;
    char         path[4200];
    struct stat  st;

    if (!ours(fd, NULL, path, sizeof(path)) || fstat(fd, &st) == -1) {
        return f(fd);
    }

    rc = fault(path, S_ISDIR(st.st_mode) ? "syncdir" : "sync");

    if (rc == 1) {
        return 0;
    }

    rc = rc == -1 ? -1 : f(fd);

    if (rc == 0) {
        if (S_ISDIR(st.st_mode)) {
            record(path, "syncdir %s\n", path);

        } else {
            record(path, "sync %s %jd\n", path, (intmax_t) st.st_size);
        }
    }

    return rc;
}


int
fsync(int fd)
{
    return sync_file(fd, REAL(fsync));
}


int
fdatasync(int fd)
{
    return sync_file(fd, REAL(fdatasync));
}


int
flock(int fd, int how)
{
    int   rc;
    char  path[4200];

    rc = ours(fd, NULL, path, sizeof(path)) ? fault(path, "lock") : 0;

    return rc == 0 ? REAL(flock)(fd, how) : rc == 1 ? 0 : -1;
}
