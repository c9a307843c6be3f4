/* Remembers what is durable below a folder: loaded into a process (LD_PRELOAD), it copies a file's content, or a folder's
 * names, into a shadow whenever the process has synced them. `power.py` makes the folder anew from the shadow, as a disk has it
 * behind a loss of power.
 *
 *     POWER_ROOT    the folder that is watched, as an absolute path without links
 *     POWER_SHADOW  the folder of the copies: `ID.data` has a file's content, `ID.names` a line `ID name` for each name in a folder
 *
 * An ID is an inode's number and the time of its birth, since a system gives a number again once its file is gone. In a line, a
 * slash behind it says that the name is a folder's: one that was never synced has no `ID.names`, and is no file for that.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int serial;

static void write_id(char *id, size_t size, const struct statx *status)
{
    snprintf(id, size, "%llu-%lld-%u", (unsigned long long)status->stx_ino, (long long)status->stx_btime.tv_sec,
             status->stx_btime.tv_nsec);
}

static void copy_content(int from, FILE *to)
{
    char block[1 << 16];
    off_t offset = 0;
    ssize_t count;
    while ((count = pread(from, block, sizeof block, offset)) > 0) {
        fwrite(block, 1, (size_t)count, to);
        offset += count;
    }
}

static void copy_names(const char *path, FILE *to)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        struct statx status;
        char id[64];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (statx(dirfd(folder), entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &status))
            continue;
        write_id(id, sizeof id, &status);
        fprintf(to, "%s%s %s\n", id, S_ISDIR(status.stx_mode) ? "/" : "", entry->d_name);
    }
    if (folder)
        closedir(folder);
}

/* Copies what is durable now: into a file of its own first, as the process may be killed at any instant. */
static void remember(const char *path)
{
    const char *root = getenv("POWER_ROOT"), *shadow = getenv("POWER_SHADOW");
    struct statx status;
    char id[64], made[4096], final[4096];
    if (!root || !shadow || strncmp(path, root, strlen(root)))
        return;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return;
    if (!statx(file, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status)) {
        int is_folder = S_ISDIR(status.stx_mode);
        write_id(id, sizeof id, &status);
        snprintf(made, sizeof made, "%s/%d-%d.new", shadow, getpid(), atomic_fetch_add(&serial, 1));
        snprintf(final, sizeof final, "%s/%s.%s", shadow, id, is_folder ? "names" : "data");
        FILE *copy = fopen(made, "wb");
        if (copy) {
            is_folder ? copy_names(path, copy) : copy_content(file, copy);
            fclose(copy);
            rename(made, final);
        }
    }
    close(file);
}

static void remember_open(int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        remember(path);
    }
}

static int remember_any(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    remember(path);
    return 0;
}

#define INTERPOSE(name)                                                                                                    \
    int name(int file)                                                                                                     \
    {                                                                                                                      \
        static int (*real)(int);                                                                                           \
        if (!real)                                                                                                         \
            real = (int (*)(int))dlsym(RTLD_NEXT, #name);                                                                  \
        int result = real(file);                                                                                           \
        if (!result)                                                                                                       \
            remember_open(file);                                                                                           \
        return result;                                                                                                     \
    }

INTERPOSE(fsync)
INTERPOSE(fdatasync)

int syncfs(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "syncfs");
    int result = real(file);
    if (!result && getenv("POWER_ROOT"))
        nftw(getenv("POWER_ROOT"), remember_any, 16, FTW_PHYS);
    return result;
}
