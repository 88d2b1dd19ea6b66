/* The limit: a C loop that starts /bin/cat with 1 KiB on a file, N at a time, and reads it back.
 * usage: posix_spawn RUNS AT_A_TIME; prints runs a second and the CPU of this process in seconds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct run { pid_t pid; int in, out, err; };

static void start(struct run *r, const char *prompt) {
    char *argv[] = {"/bin/cat", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    r->in = memfd_create("in", MFD_CLOEXEC);
    r->out = memfd_create("out", MFD_CLOEXEC);
    r->err = memfd_create("err", MFD_CLOEXEC);
    if (write(r->in, prompt, 1024) != 1024) exit(1);
    lseek(r->in, 0, SEEK_SET);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, r->in, 0);
    posix_spawn_file_actions_adddup2(&actions, r->out, 1);
    posix_spawn_file_actions_adddup2(&actions, r->err, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (posix_spawn(&r->pid, argv[0], &actions, &attributes, argv, environ)) exit(1);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
}

static void finish(struct run *r) {
    char answer[2048];
    if (pread(r->out, answer, sizeof answer, 0) != 1024) exit(1);
    close(r->in);
    close(r->out);
    close(r->err);
    r->pid = 0;
}

int main(int argc, char **argv) {
    int runs = atoi(argv[1]), slots = atoi(argv[2]), started = 0, ended = 0, status;
    struct run *live = calloc(slots, sizeof *live);
    struct timespec from, to;
    struct rusage usage;
    char prompt[1024];
    memset(prompt, 'x', sizeof prompt);
    if (argc != 3) return 2;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < slots && started < runs; i++, started++) start(&live[i], prompt);
    while (ended < runs) {
        pid_t pid = waitpid(-1, &status, 0);
        for (int i = 0; i < slots; i++) {
            if (live[i].pid != pid) continue;
            finish(&live[i]);
            ended++;
            if (started < runs) { start(&live[i], prompt); started++; }
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    getrusage(RUSAGE_SELF, &usage);
    printf("%f %f\n",
           runs / ((to.tv_sec - from.tv_sec) + (to.tv_nsec - from.tv_nsec) / 1e9),
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 0;
}
