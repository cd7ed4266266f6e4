/* Counts, records and spoils what a process does to the files below one folder. Preloaded with LD_PRELOAD.
 *
 * Nothing happens before `faults_arm`. From then on every call that is named in `counted` and meets a file below `root`
 * has a number. From number `at` on, the first call of the kinds in `fitting` fails with `error`, or ends the process if
 * `error` is -1; with `stays` set, so do all later ones, as on a disk that stays full. A write that is to fail writes half
 * first where `half` is set. Before each new name it waits `slow` microseconds, for others to come in between. Each call leaves a record in the file descriptor `log`, with the bytes written if `with_data` is set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum operation { READING, WRITING, WRITE, TRUNCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, LOCK, ATTRIBUTES };

struct record {
    int32_t operation, error;
    int64_t place; /* of a write; length after a truncation; whether an opened file is emptied or a synced one a folder */
    int64_t size;
    int32_t path, other; /* lengths of the texts that follow, and then the data */
};

static struct {
    int armed, error, stays, half, log, with_data, hit, slow;
    unsigned counted, fitting;
    long at, seen;
    char root[PATH_MAX], without[256], only[256];
} faults;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void faults_arm(const char *root, const char *without, const char *only, unsigned counted, long at, int error,
                unsigned fitting, int stays, int half, int log, int with_data, int slow) {
    strncpy(faults.root, root, sizeof faults.root - 1);
    strncpy(faults.without, without, sizeof faults.without - 1);
    strncpy(faults.only, only, sizeof faults.only - 1);
    faults.counted = counted, faults.at = at, faults.error = error, faults.fitting = fitting;
    faults.stays = stays, faults.half = half, faults.log = log, faults.with_data = with_data, faults.slow = slow;
    faults.seen = 0, faults.hit = 0, faults.armed = 1;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void put(const void *bytes, size_t size) {
    while (size > 0) {
        long written = syscall(SYS_write, faults.log, bytes, size);
        if (written <= 0) return;
        bytes = (const char *)bytes + written, size -= (size_t)written;
    }
}

static void note(enum operation operation, int error, const char *path, const char *other, int64_t place,
                 const void *data, int64_t size) {
    struct record record = {operation, error, place, size, (int32_t)strlen(path), other ? (int32_t)strlen(other) : 0};
    int saved = errno;
    if (faults.log < 0) return;
    if (!faults.with_data) data = NULL, record.size = 0;
    put(&record, sizeof record);
    put(path, (size_t)record.path);
    if (other) put(other, (size_t)record.other);
    if (data) put(data, (size_t)size);
    errno = saved;
}

/* The absolute path of `path`, seen from the folder `at`. */
static const char *absolute(int at, const char *path, char *buffer) {
    if (path[0] == '/') return path;
    char name[64];
    ssize_t length = 0;
    if (at == AT_FDCWD)
        strcpy(name, "/proc/self/cwd");
    else
        snprintf(name, sizeof name, "/proc/self/fd/%d", at);
    length = syscall(SYS_readlinkat, AT_FDCWD, name, buffer, PATH_MAX - 1);
    if (length < 0) length = 0;
    snprintf(buffer + length, (size_t)(PATH_MAX - length), "/%s", path);
    return buffer;
}

static const char *opened(int descriptor, char *buffer) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static int watched(const char *path) {
    size_t length = strlen(faults.root);
    if (strncmp(path, faults.root, length) != 0 || (path[length] != '/' && path[length] != 0)) return 0;
    if (faults.without[0] && strstr(path, faults.without)) return 0;
    return !faults.only[0] || strstr(path, faults.only) != NULL;
}

/* 0: let the call through; 1: it fails, errno is set; 2: of a write, do half. */
static int spoils(enum operation operation, const char *path) {
    if (!faults.armed || !watched(path) || !(faults.counted >> operation & 1)) return 0;
    long number = __atomic_add_fetch(&faults.seen, 1, __ATOMIC_SEQ_CST);
    if (faults.at <= 0 || number < faults.at || !(faults.fitting >> operation & 1)) return 0;
    int first = __atomic_exchange_n(&faults.hit, 1, __ATOMIC_SEQ_CST) == 0;
    if (!first && !faults.stays) return 0;
    if (operation == WRITE && faults.half && first) return 2;
    if (faults.error < 0) {
        note(operation, -1, path, NULL, 0, NULL, 0);
        syscall(SYS_kill, getpid(), SIGKILL);
    }
    note(operation, faults.error, path, NULL, 0, NULL, 0);
    errno = faults.error;
    return 1;
}

static int recorded(const char *path) { return faults.armed && faults.log >= 0 && watched(path); }

/* Libraries in Rust rename without the C library: seen when they close the file, whose name is another then. */
enum { MOST_OPEN = 1024 };
static char *names[MOST_OPEN]; /* of files that are open for writing */

static void remember(int descriptor, const char *path) {
    if (descriptor >= MOST_OPEN) return;
    free(names[descriptor]);
    names[descriptor] = path ? strdup(path) : NULL;
}

int close(int descriptor) {
    if (faults.armed && descriptor >= 0 && descriptor < MOST_OPEN && names[descriptor]) {
        char now[PATH_MAX];
        if (recorded(opened(descriptor, now)) && strcmp(now, names[descriptor]) != 0 && access(now, F_OK) == 0)
            note(RENAME, 0, names[descriptor], now, 0, NULL, 0);
        remember(descriptor, NULL);
    }
    return REAL(close)(descriptor);
}

#define PATHS char buffer[PATH_MAX], other_buffer[PATH_MAX]; (void)buffer; (void)other_buffer

/* ---- open ---- */

static int opening(const char *name, int at, const char *path, int flags, mode_t mode) {
    PATHS;
    if (!faults.armed) goto straight;
    const char *whole = absolute(at, path, buffer);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
    if (!watched(whole)) goto straight;
    if (spoils(writes ? WRITING : READING, whole)) return -1;
    pthread_mutex_lock(&mutex);
    int descriptor = ((int (*)(int, const char *, int, ...))real(name))(at, path, flags, mode);
    if (descriptor >= 0) remember(descriptor, writes ? whole : NULL);
    if (descriptor >= 0 && writes) note(WRITING, 0, whole, NULL, (flags & O_TRUNC) != 0, NULL, 0);
    if (descriptor >= 0 && !writes) note(READING, 0, whole, NULL, 0, NULL, 0);
    int saved = errno;
    pthread_mutex_unlock(&mutex);
    errno = saved;
    return descriptor;
straight:
    return ((int (*)(int, const char *, int, ...))real(name))(at, path, flags, mode);
}

#define MODE                                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                                                         \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE return opening("openat", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opening("openat64", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return opening("openat", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return opening("openat64", at, path, flags, mode); }
int __open_2(const char *path, int flags) { return opening("openat", AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opening("openat64", AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return opening("openat", at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return opening("openat64", at, path, flags, 0); }
int creat(const char *path, mode_t mode) {
    return opening("openat", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) {
    return opening("openat64", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static FILE *opening_stream(const char *name, const char *path, const char *how) {
    PATHS;
    const char *whole = absolute(AT_FDCWD, path, buffer);
    int writes = how[0] != 'r' || strchr(how, '+') != NULL;
    if (spoils(writes ? WRITING : READING, whole)) return NULL;
    FILE *file = ((FILE * (*)(const char *, const char *)) real(name))(path, how);
    if (file && recorded(whole)) note(writes ? WRITING : READING, 0, whole, NULL, how[0] == 'w', NULL, 0);
    return file;
}

FILE *fopen(const char *path, const char *how) { return opening_stream("fopen", path, how); }
FILE *fopen64(const char *path, const char *how) { return opening_stream("fopen64", path, how); }

/* ---- write ---- */

static int64_t place_of(int descriptor) {
    int flags = (int)syscall(SYS_fcntl, descriptor, F_GETFL);
    struct stat status;
    if (flags & O_APPEND && fstat(descriptor, &status) == 0) return status.st_size;
    return syscall(SYS_lseek, descriptor, 0L, SEEK_CUR);
}

static ssize_t writing(int descriptor, const void *data, size_t size, int64_t place) {
    PATHS;
    if (faults.armed && watched(opened(descriptor, buffer))) {
        int spoilt = spoils(WRITE, buffer);
        if (spoilt == 1) return -1;
        pthread_mutex_lock(&mutex);
        int64_t at = place >= 0 ? place : place_of(descriptor);
        if (spoilt == 2) size = size / 2 + (size < 2);
        ssize_t written = place >= 0 ? syscall(SYS_pwrite64, descriptor, data, size, place)
                                     : syscall(SYS_write, descriptor, data, size);
        int saved = errno;
        if (written >= 0) note(WRITE, 0, buffer, NULL, at, data, written);
        pthread_mutex_unlock(&mutex);
        if (spoilt == 2 && faults.error < 0) syscall(SYS_kill, getpid(), SIGKILL);
        errno = saved;
        return written;
    }
    return place >= 0 ? REAL(pwrite64)(descriptor, data, size, place) : REAL(write)(descriptor, data, size);
}

ssize_t write(int descriptor, const void *data, size_t size) { return writing(descriptor, data, size, -1); }
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) { return writing(descriptor, data, size, at); }
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) {
    return writing(descriptor, data, size, at);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    PATHS;
    if (!faults.armed || !watched(opened(descriptor, buffer))) return REAL(writev)(descriptor, parts, count);
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len == 0) continue;
        ssize_t written = writing(descriptor, parts[i].iov_base, parts[i].iov_len, -1);
        if (written < 0) return all ? all : -1;
        all += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return all;
}

/* Of streams of C, which numpy writes arrays with: what they buffer is written at once. */
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    PATHS;
    if (!faults.armed || size * count == 0 || !watched(opened(fileno(file), buffer)))
        return REAL(fwrite)(data, size, count, file);
    int spoilt = spoils(WRITE, buffer);
    if (spoilt == 1) return 0;
    if (spoilt == 2) count = count / 2;
    if (fflush(file) != 0) return 0;
    int64_t at = place_of(fileno(file));
    size_t written = REAL(fwrite)(data, size, count, file);
    if (fflush(file) != 0) return 0;
    note(WRITE, 0, buffer, NULL, at, data, (int64_t)(written * size));
    if (spoilt == 2 && faults.error < 0) syscall(SYS_kill, getpid(), SIGKILL);
    return written;
}

/* What the kernel copies from one file to the other is recorded as if it had been written. */
static void note_copied(int descriptor, const char *path, int64_t at, ssize_t size) {
    void *data = size > 0 && faults.with_data ? malloc((size_t)size) : NULL;
    if (data) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        int again = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0);
        if (syscall(SYS_pread64, again, data, size, at) != size) abort();
        syscall(SYS_close, again);
    }
    note(WRITE, 0, path, NULL, at, data, size);
    free(data);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    PATHS;
    if (!faults.armed || !watched(opened(to, buffer))) return REAL(sendfile64)(to, from, offset, size);
    if (spoils(WRITE, buffer)) return errno = faults.error < 0 ? EIO : faults.error, -1;
    int64_t at = place_of(to);
    ssize_t sent = REAL(sendfile64)(to, from, offset, size);
    if (sent > 0) note_copied(to, buffer, at, sent);
    return sent;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    PATHS;
    if (!faults.armed || !watched(opened(to, buffer)))
        return REAL(copy_file_range)(from, from_at, to, to_at, size, flags);
    if (spoils(WRITE, buffer)) return errno = faults.error < 0 ? EIO : faults.error, -1;
    int64_t at = to_at ? *to_at : place_of(to);
    ssize_t sent = REAL(copy_file_range)(from, from_at, to, to_at, size, flags);
    if (sent > 0) note_copied(to, buffer, at, sent);
    return sent;
}

/* ---- the rest ---- */

#define ON_OPENED(operation, at, call)                                                                                 \
    PATHS;                                                                                                             \
    if (!faults.armed || !watched(opened(descriptor, buffer))) return call;                                            \
    if (spoils(operation, buffer)) return -1;                                                                          \
    pthread_mutex_lock(&mutex);                                                                                        \
    int result = call;                                                                                                 \
    int saved = errno;                                                                                                 \
    if (result == 0) note(operation, 0, buffer, NULL, at, NULL, 0);                                                    \
    pthread_mutex_unlock(&mutex);                                                                                      \
    errno = saved;                                                                                                     \
    return result;

int ftruncate(int descriptor, off_t size) { ON_OPENED(TRUNCATE, size, REAL(ftruncate)(descriptor, size)) }
int ftruncate64(int descriptor, off64_t size) { ON_OPENED(TRUNCATE, size, REAL(ftruncate64)(descriptor, size)) }

static int is_folder(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Nothing needs to reach the disk here: no trial cuts the power but on paper. */
int fsync(int descriptor) { ON_OPENED(SYNC, is_folder(descriptor), 0) }
int fdatasync(int descriptor) { ON_OPENED(SYNC, is_folder(descriptor), 0) }
int fchmod(int descriptor, mode_t mode) { ON_OPENED(ATTRIBUTES, 0, REAL(fchmod)(descriptor, mode)) }
int flock(int descriptor, int how) {
    PATHS;
    if (faults.armed && how != LOCK_UN && spoils(LOCK, opened(descriptor, buffer))) return -1;
    int result = REAL(flock)(descriptor, how);
    if (result == 0 && how != LOCK_UN && recorded(opened(descriptor, buffer))) note(LOCK, 0, buffer, NULL, 0, NULL, 0);
    return result;
}

#define ON_PATH(operation, at, path, call)                                                                             \
    PATHS;                                                                                                             \
    if (!faults.armed) return call;                                                                                    \
    const char *whole = absolute(at, path, buffer);                                                                    \
    if (!watched(whole)) return call;                                                                                  \
    if (spoils(operation, whole)) return -1;                                                                           \
    pthread_mutex_lock(&mutex);                                                                                        \
    int result = call;                                                                                                 \
    int saved = errno;                                                                                                 \
    if (result == 0) note(operation, 0, whole, NULL, 0, NULL, 0);                                                      \
    pthread_mutex_unlock(&mutex);                                                                                      \
    errno = saved;                                                                                                     \
    return result;

int unlink(const char *path) { ON_PATH(UNLINK, AT_FDCWD, path, REAL(unlink)(path)) }
int unlinkat(int at, const char *path, int flags) {
    ON_PATH(flags &AT_REMOVEDIR ? RMDIR : UNLINK, at, path, REAL(unlinkat)(at, path, flags))
}
int rmdir(const char *path) { ON_PATH(RMDIR, AT_FDCWD, path, REAL(rmdir)(path)) }
int mkdir(const char *path, mode_t mode) { ON_PATH(MKDIR, AT_FDCWD, path, REAL(mkdir)(path, mode)) }
int mkdirat(int at, const char *path, mode_t mode) { ON_PATH(MKDIR, at, path, REAL(mkdirat)(at, path, mode)) }
int chmod(const char *path, mode_t mode) { ON_PATH(ATTRIBUTES, AT_FDCWD, path, REAL(chmod)(path, mode)) }
int fchmodat(int at, const char *path, mode_t mode, int flags) {
    ON_PATH(ATTRIBUTES, at, path, REAL(fchmodat)(at, path, mode, flags))
}
int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    ON_PATH(ATTRIBUTES, at, path, REAL(utimensat)(at, path, times, flags))
}

static int naming(enum operation operation, int from_at, const char *from, int to_at, const char *to, int flags) {
    PATHS;
    long number = operation == LINK ? SYS_linkat : SYS_renameat2;
    const char *one = faults.armed ? absolute(from_at, from, buffer) : from;
    const char *two = faults.armed ? absolute(to_at, to, other_buffer) : to;
    int seen = faults.armed && watched(two);
    if (seen && spoils(operation, two)) return -1;
    if (seen && faults.slow) usleep((useconds_t)faults.slow);
    if (seen) pthread_mutex_lock(&mutex);
    int result = (int)syscall(number, from_at, from, to_at, to, flags);
    int saved = errno;
    if (seen && result == 0) note(operation, 0, one, two, 0, NULL, 0);
    if (seen) pthread_mutex_unlock(&mutex);
    errno = saved;
    return result;
}

int rename(const char *from, const char *to) { return naming(RENAME, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return naming(RENAME, from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return naming(RENAME, from_at, from, to_at, to, (int)flags);
}
int link(const char *from, const char *to) { return naming(LINK, AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return naming(LINK, from_at, from, to_at, to, flags);
}
