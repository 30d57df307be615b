/*
 * First and only program of a Minoots virtual machine: it prepares the machine, then runs what the host asks for.
 *
 * Owns the guest's end of the wire (frames.py is the host's). It must not interpret files or commands: whatever
 * is put in, taken out or listed is a program that the host asks for.
 *
 * A frame is 12 bytes of header and a payload of at most 64 KiB, little-endian:
 *     u32 length of the payload · u32 number of the run · u8 kind · 3 bytes of zero
 * Every run has a control group of its own, so that ending it ends whatever it started, however it hid.
 *
 * A machine has two halves of a start. Up to its first word, nothing in it is anybody's: the host may keep its state
 * there and have other machines go on from it. What is a machine's own (limits, disk, clock, name, randomness) comes
 * with the host's first word.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/random.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VERSION 4
#define MOST_RUNS 32
#define MOST_PAYLOAD 65536
#define MOST_FIELDS 4096
#define USER 1000
#define HOST_PORT 1024
/* A request to run: folder, root of its files, number of arguments, the arguments, the environment; each ends with a
   zero. */
#define FIXED 3
/* Where the files of the second disk are, if there is one: a root for programs. */
#define OTHER_ROOT "/other"
/* What the host may have under way to the input of one program; it waits for acknowledgements beyond. Likewise for a
   connection, each way. */
#define MOST_INPUT 131072
#define MOST_CONNECTIONS 64

struct header {
    uint32_t length;
    uint32_t run;
    uint8_t kind;
    uint8_t zero[3];
};

/* How a program ended, as the host reads it. */
struct result {
    int32_t exit_code; /* -1: a signal ended it */
    int32_t signal;
    uint32_t short_of_memory;
    uint32_t cpu_ms;
    uint32_t peak_kb; /* of the largest of its processes */
};

/* The host's first word: what is this machine's own. */
struct beginning {
    uint64_t seconds; /* since 1970 */
    uint32_t nanoseconds;
    uint32_t memory_mb;
    uint32_t processes;
    uint32_t other_root; /* whether there is a second disk */
    uint8_t randomness[64];
    char name[16]; /* ends with a zero */
} __attribute__((packed));

struct run {
    uint32_t number;
    pid_t process; /* 0: free */
    int input, output, errors;
    int ended;
    struct result result;
    int input_closing;
    size_t waiting; /* bytes of `pending` that the program has not taken */
    size_t room;
    char *pending;
};

/* A connection of a program to the port that we listen on: the host carries it on, and judges where to. */
struct connection {
    uint32_t number; /* 0: free */
    int file;
    int closing;  /* the host is at its end: what is pending is still passed on */
    int spoken;   /* the program is at its end */
    uint32_t out; /* bytes that the host has not taken yet */
    size_t waiting;
    char *pending;
};

static struct run runs[MOST_RUNS];
static struct connection connections[MOST_CONNECTIONS];
static uint32_t last_connection;
static int listening = -1;
static int port = -1;
static int begun;
/* Firecracker has no switch for its power: its machines end by a restart. */
static int how_to_end = RB_POWER_OFF;

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    dprintf(2, "minoots: ");
    vdprintf(2, format, arguments);
    dprintf(2, "\n");
    va_end(arguments);
}

/* A machine that cannot go on is switched off: the host sees it at once, and has this line on the console. */
static void give_up(const char *what) {
    say("%s: %s", what, strerror(errno));
    reboot(how_to_end);
    _exit(1);
}

static void write_whole(const void *data, size_t length) {
    const char *at = data;
    while (length > 0) {
        ssize_t written = write(port, at, length);
        if (written < 0) {
            struct pollfd ready = {.fd = port, .events = POLLOUT};
            if (errno != EAGAIN && errno != EINTR)
                give_up("the host cannot be told");
            poll(&ready, 1, 1000);
            continue;
        }
        at += written;
        length -= (size_t)written;
    }
}

static void tell(uint8_t kind, uint32_t run, const void *payload, uint32_t length) {
    struct header header = {.length = length, .run = run, .kind = kind};
    write_whole(&header, sizeof header);
    write_whole(payload, length);
}

/* The reason as a number, so that the host can tell a missing program from a full machine, and in words. */
static void tell_failure(uint32_t run, const char *what) {
    struct { uint32_t reason; char text[252]; } failure = {.reason = (uint32_t)errno};
    int length = snprintf(failure.text, sizeof failure.text, "%s: %s", what, strerror(errno));
    if (length >= (int)sizeof failure.text)
        length = sizeof failure.text - 1;
    tell('F', run, &failure, (uint32_t)(sizeof failure.reason + (size_t)length));
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t written = write(file, text, strlen(text));
    int reason = errno;
    close(file);
    errno = reason;
    return written < 0 ? -1 : 0;
}

static void group_path(char *path, size_t size, uint32_t number, const char *file) {
    snprintf(path, size, "/sys/fs/cgroup/jobs/%u%s", number, file);
}

static void end_group(uint32_t number) {
    char path[96];
    group_path(path, sizeof path, number, "/cgroup.kill");
    put(path, "1");
}

/* Only what runs now: what the host asks for meanwhile, such as a file, is not held up. */
static void freeze(const char *whether) {
    char path[96];
    for (int at = 0; at < MOST_RUNS; at++)
        if (runs[at].process) {
            group_path(path, sizeof path, runs[at].number, "/cgroup.freeze");
            put(path, whether);
        }
}

static int group_was_short_of_memory(uint32_t number) {
    char path[96], text[256] = "";
    group_path(path, sizeof path, number, "/memory.events");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    char *kills = strstr(text, "oom_kill ");
    return kills != NULL && atoi(kills + strlen("oom_kill ")) > 0;
}

static struct run *find(uint32_t number) {
    for (int at = 0; at < MOST_RUNS; at++)
        if (runs[at].process && runs[at].number == number)
            return &runs[at];
    return NULL;
}

static void shut(int *file) {
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* In the child: become the program. Only reached with three pipes and a group that is its own. */
static void become(char **fields, int count, int input, int output, int errors, int report) {
    const char *folder = fields[0], *root = fields[1];
    int arguments = atoi(fields[2]);
    char **argv = fields + FIXED, **environment = argv + arguments;
    char *own_argv[MOST_FIELDS + 1], *own_environment[MOST_FIELDS + 1];
    int at;
    for (at = 0; at < arguments; at++)
        own_argv[at] = argv[at];
    own_argv[at] = NULL;
    for (at = 0; at < count - FIXED - arguments; at++)
        own_environment[at] = environment[at];
    own_environment[at] = NULL;

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0)
        goto failed;
    struct rlimit none_at_all = {0, 0};
    if (strcmp(root, "/") != 0 && chroot(root))
        goto failed;
    if (setrlimit(RLIMIT_CORE, &none_at_all) || setgroups(0, NULL) || setresgid(USER, USER, USER) ||
        setresuid(USER, USER, USER) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || chdir(folder))
        goto failed;
    execvpe(own_argv[0], own_argv, own_environment);
failed:;
    int reason = errno;
    if (write(report, &reason, sizeof reason) < 0)
        _exit(126);
    _exit(127);
}

/* Every pipe that is open goes into every child unless it is closed there, so all are O_CLOEXEC. */
static void start(uint32_t number, char *payload, uint32_t length) {
    char *fields[MOST_FIELDS];
    int count = 0;
    for (char *at = payload; at < payload + length && count < MOST_FIELDS; at += strlen(at) + 1)
        fields[count++] = at;
    errno = EINVAL;
    if (count <= FIXED || payload[length - 1] != '\0' || atoi(fields[2]) < 1 || atoi(fields[2]) > count - FIXED) {
        tell_failure(number, "the request cannot be read");
        return;
    }
    struct run *run = NULL;
    for (int at = 0; at < MOST_RUNS && run == NULL; at++)
        if (!runs[at].process)
            run = &runs[at];
    errno = EAGAIN;
    if (run == NULL || find(number) != NULL) {
        tell_failure(number, "too many programs, or one of this number");
        return;
    }
    int input[2] = {-1, -1}, output[2] = {-1, -1}, errors[2] = {-1, -1}, report[2] = {-1, -1};
    char group[96];
    group_path(group, sizeof group, number, "");
    if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC) || pipe2(errors, O_CLOEXEC) ||
        pipe2(report, O_CLOEXEC) || (mkdir(group, 0755) && errno != EEXIST)) {
        tell_failure(number, "no pipes");
        goto leave;
    }
    pid_t process = fork();
    if (process < 0) {
        tell_failure(number, "no process");
        goto leave;
    }
    if (process == 0) {
        char tasks[112];
        group_path(tasks, sizeof tasks, number, "/cgroup.procs");
        if (put(tasks, "0") < 0) {
            int reason = errno;
            _exit(write(report[1], &reason, sizeof reason) < 0 ? 126 : 127);
        }
        become(fields, count, input[0], output[1], errors[1], report[1]);
    }
    shut(&report[1]);
    int reason = 0;
    ssize_t failed;
    do
        failed = read(report[0], &reason, sizeof reason);
    while (failed < 0 && errno == EINTR);
    if (failed > 0) {
        waitpid(process, NULL, 0);
        errno = reason;
        tell_failure(number, fields[FIXED]);
        rmdir(group);
        goto leave;
    }
    *run = (struct run){.number = number, .process = process, .room = MOST_INPUT};
    run->pending = malloc(MOST_INPUT);
    if (run->pending == NULL)
        give_up("no memory for input");
    run->input = input[1], run->output = output[0], run->errors = errors[0];
    input[1] = output[0] = errors[0] = -1;
    fcntl(run->input, F_SETFL, O_NONBLOCK);
    fcntl(run->output, F_SETFL, O_NONBLOCK);
    fcntl(run->errors, F_SETFL, O_NONBLOCK);
    tell('S', number, "", 0);
leave:
    for (int end = 0; end < 2; end++) {
        shut(&input[end]);
        shut(&output[end]);
        shut(&errors[end]);
        shut(&report[end]);
    }
}

static void take_input(uint32_t number, const char *data, uint32_t length) {
    struct run *run = find(number);
    if (run == NULL || run->input < 0) {
        /* The program does not read any more; the host need not wait for it. */
        tell('A', number, &length, sizeof length);
        return;
    }
    if (length == 0) {
        run->input_closing = 1;
    } else if (length <= run->room - run->waiting) {
        memcpy(run->pending + run->waiting, data, length);
        run->waiting += length;
    } else {
        errno = ENOBUFS;
        give_up("the host sends more than it may");
    }
    if (run->input_closing && run->waiting == 0)
        shut(&run->input);
}

static void pass_input_on(struct run *run) {
    ssize_t written = write(run->input, run->pending, run->waiting);
    if (written < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    uint32_t taken = written < 0 ? (uint32_t)run->waiting : (uint32_t)written;
    memmove(run->pending, run->pending + taken, run->waiting - taken);
    run->waiting -= taken;
    if (taken > 0)
        tell('A', run->number, &taken, sizeof taken);
    if (written < 0 || (run->input_closing && run->waiting == 0))
        shut(&run->input);
}

static void pass_output_on(struct run *run, int *file, uint8_t kind) {
    static char buffer[MOST_PAYLOAD];
    ssize_t length = read(*file, buffer, sizeof buffer);
    if (length > 0)
        tell(kind, run->number, buffer, (uint32_t)length);
    else if (length == 0 || (errno != EAGAIN && errno != EINTR))
        shut(file);
}

/* When the first process has ended, what it left behind is ended too; then the last output is passed on. */
static void finish(struct run *run) {
    if (!run->ended || run->output >= 0 || run->errors >= 0)
        return;
    char group[96];
    group_path(group, sizeof group, run->number, "");
    run->result.short_of_memory = (uint32_t)group_was_short_of_memory(run->number);
    if (run->waiting > 0) {
        uint32_t rest = (uint32_t)run->waiting;
        tell('A', run->number, &rest, sizeof rest);
    }
    shut(&run->input);
    free(run->pending);
    rmdir(group);
    tell('X', run->number, &run->result, sizeof run->result);
    run->process = 0;
}

static uint32_t milliseconds(struct timeval time) {
    return (uint32_t)(time.tv_sec * 1000 + time.tv_usec / 1000);
}

static void reap(void) {
    int status;
    struct rusage used;
    pid_t process;
    while ((process = wait4(-1, &status, WNOHANG, &used)) > 0)
        for (int at = 0; at < MOST_RUNS; at++)
            if (runs[at].process == process && !runs[at].ended) {
                runs[at].ended = 1;
                runs[at].result = (struct result){
                    .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                    .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                    .cpu_ms = milliseconds(used.ru_utime) + milliseconds(used.ru_stime),
                    .peak_kb = (uint32_t)used.ru_maxrss,
                };
                end_group(runs[at].number);
            }
}

static void let_go(struct connection *connection, int told) {
    if (told)
        tell('U', connection->number, "", 0);
    shut(&connection->file);
    free(connection->pending);
    *connection = (struct connection){.file = -1};
}

/* The loopback is all the network that there is; what is said to this port goes to the host. */
static void listen_for_programs(void) {
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    errno = EALREADY;
    if (listening >= 0)
        give_up("it listens already");
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listening < 0 || ioctl(listening, SIOCSIFFLAGS, &loopback) ||
        bind(listening, (struct sockaddr *)&address, size) || listen(listening, MOST_CONNECTIONS) ||
        getsockname(listening, (struct sockaddr *)&address, &size))
        give_up("no loopback");
    uint32_t number = ntohs(address.sin_port);
    tell('P', 0, &number, sizeof number);
}

static struct connection *free_connection(void) {
    for (int at = 0; at < MOST_CONNECTIONS; at++)
        if (!connections[at].number)
            return &connections[at];
    return NULL;
}

static void accept_program(void) {
    struct connection *connection = free_connection();
    int file = connection ? accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
    if (file < 0)
        return;
    char *pending = malloc(MOST_INPUT);
    if (pending == NULL) {
        close(file);
        return;
    }
    if (++last_connection == 0)
        last_connection = 1;
    *connection = (struct connection){.number = last_connection, .file = file, .pending = pending};
    tell('C', connection->number, "", 0);
}

static struct connection *find_connection(uint32_t number) {
    for (int at = 0; at < MOST_CONNECTIONS && number; at++)
        if (connections[at].number == number)
            return &connections[at];
    return NULL;
}

/* Pass on what is there; at the host's end, and when nothing is left, at ours too. */
static void pass_to_program(struct connection *connection) {
    if (connection->waiting > 0) {
        ssize_t written = send(connection->file, connection->pending, connection->waiting, MSG_NOSIGNAL);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (written < 0) {
            let_go(connection, 1);
            return;
        }
        uint32_t taken = (uint32_t)written;
        memmove(connection->pending, connection->pending + taken, connection->waiting - taken);
        connection->waiting -= taken;
        if (!connection->closing)
            tell('G', connection->number, &taken, sizeof taken);
    }
    if (connection->closing && connection->waiting == 0)
        let_go(connection, 0);
}

static void take_for_program(uint32_t number, const char *data, uint32_t length) {
    struct connection *connection = find_connection(number);
    if (connection == NULL)
        return;
    errno = ENOBUFS;
    if (length > MOST_INPUT - connection->waiting || connection->closing)
        give_up("the host sends more than it may");
    memcpy(connection->pending + connection->waiting, data, length);
    connection->waiting += length;
    pass_to_program(connection);
}

static void pass_from_program(struct connection *connection) {
    static char buffer[MOST_PAYLOAD];
    size_t room = MOST_INPUT - connection->out;
    ssize_t length = read(connection->file, buffer, room < sizeof buffer ? room : sizeof buffer);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length < 0) {
        let_go(connection, !connection->closing);
        return;
    }
    connection->spoken = length == 0;
    connection->out += (uint32_t)length;
    if (!connection->closing)
        tell('D', connection->number, buffer, (uint32_t)length);
}

static void host_has_taken(uint32_t number, const char *payload, uint32_t length) {
    struct connection *connection = find_connection(number);
    uint32_t count;
    if (connection == NULL || length != sizeof count)
        return;
    memcpy(&count, payload, sizeof count);
    connection->out = count < connection->out ? connection->out - count : 0;
}

static void host_closes(uint32_t number) {
    struct connection *connection = find_connection(number);
    if (connection == NULL)
        return;
    connection->closing = 1;
    pass_to_program(connection);
}

static void begin(const char *payload, uint32_t length);

static void obey(struct header *header, char *payload) {
    if (begun == (header->kind == 'B')) {
        errno = EPROTO;
        give_up("a machine begins once, and first of all");
    }
    switch (header->kind) {
    case 'B':
        begin(payload, header->length);
        break;
    case 'R':
        if (header->length > 0)
            start(header->run, payload, header->length);
        break;
    case 'I':
        take_input(header->run, payload, header->length);
        break;
    case 'K':
        if (find(header->run) != NULL)
            end_group(header->run);
        break;
    case 'L':
        listen_for_programs();
        break;
    case 'D':
        take_for_program(header->run, payload, header->length);
        break;
    case 'G':
        host_has_taken(header->run, payload, header->length);
        break;
    case 'U':
        host_closes(header->run);
        break;
    case 'Z':
        freeze("1");
        break;
    case 'T':
        freeze("0");
        break;
    case 'Q':
        sync();
        reboot(how_to_end);
        break;
    default:
        errno = EPROTO;
        give_up("the host says what is not known");
    }
}

static void listen_to_host(void) {
    static char buffer[sizeof(struct header) + MOST_PAYLOAD + 1];
    static size_t held;
    ssize_t length = read(port, buffer + held, sizeof buffer - 1 - held);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0) {
        /* The host is gone: a machine that nobody speaks to is of no use. */
        reboot(how_to_end);
        return;
    }
    held += (size_t)length;
    struct header header;
    while (held >= sizeof header) {
        memcpy(&header, buffer, sizeof header);
        if (header.length > MOST_PAYLOAD) {
            errno = EPROTO;
            give_up("a frame is too long");
        }
        size_t whole = sizeof header + header.length;
        if (held < whole)
            return;
        obey(&header, buffer + sizeof header);
        memmove(buffer, buffer + whole, held - whole);
        held -= whole;
    }
}

static void serve(void) {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    int ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ended < 0)
        give_up("no signals");
    for (;;) {
        struct pollfd ready[3 + 3 * MOST_RUNS + MOST_CONNECTIONS] = {
            {.fd = port, .events = POLLIN},
            {.fd = ended, .events = POLLIN},
            {.fd = free_connection() ? listening : -1, .events = POLLIN},
        };
        struct pollfd *of_connections = ready + 3 + 3 * MOST_RUNS;
        for (int at = 0; at < MOST_CONNECTIONS; at++) {
            struct connection *connection = &connections[at];
            short events = (short)((connection->waiting > 0 ? POLLOUT : 0) |
                                   (!connection->spoken && connection->out < MOST_INPUT ? POLLIN : 0));
            /* Without anything to wait for not at all: its end would be told again and again. */
            int file = connection->number && events ? connection->file : -1;
            of_connections[at] = (struct pollfd){.fd = file, .events = events};
        }
        for (int at = 0; at < MOST_RUNS; at++) {
            struct run *run = &runs[at];
            struct pollfd *of_run = ready + 3 + 3 * at;
            for (int one = 0; one < 3; one++)
                of_run[one].fd = -1;
            if (!run->process)
                continue;
            of_run[0] = (struct pollfd){.fd = run->waiting > 0 ? run->input : -1, .events = POLLOUT};
            of_run[1] = (struct pollfd){.fd = run->output, .events = POLLIN};
            of_run[2] = (struct pollfd){.fd = run->errors, .events = POLLIN};
        }
        if (poll(ready, sizeof ready / sizeof *ready, -1) < 0 && errno != EINTR)
            give_up("no poll");
        struct signalfd_siginfo signal_read;
        if (ready[1].revents && read(ended, &signal_read, sizeof signal_read) > 0)
            reap();
        for (int at = 0; at < MOST_RUNS; at++) {
            struct run *run = &runs[at];
            struct pollfd *of_run = ready + 3 + 3 * at;
            if (!run->process)
                continue;
            if (of_run[0].revents && run->input >= 0 && run->waiting > 0)
                pass_input_on(run);
            if (of_run[1].revents && run->output >= 0)
                pass_output_on(run, &run->output, 'O');
            if (of_run[2].revents && run->errors >= 0)
                pass_output_on(run, &run->errors, 'E');
            finish(run);
        }
        for (int at = 0; at < MOST_CONNECTIONS; at++) {
            struct connection *connection = &connections[at];
            short happened = of_connections[at].fd < 0 ? 0 : of_connections[at].revents;
            if (connection->number && connection->waiting > 0 && happened & (POLLOUT | POLLERR | POLLHUP))
                pass_to_program(connection);
            if (connection->number && !connection->spoken && happened & (POLLIN | POLLERR | POLLHUP))
                pass_from_program(connection);
        }
        if (ready[2].fd >= 0 && ready[2].revents)
            accept_program();
        if (ready[0].revents & POLLIN)
            listen_to_host();
        else if (ready[0].revents & (POLLHUP | POLLERR))
            reboot(how_to_end);
    }
}

static void load(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        give_up(path);
    if (syscall(SYS_finit_module, file, "", 0) && errno != EEXIST)
        give_up(path);
    close(file);
}

static void load_modules(const char *which) {
    FILE *list = fopen(which, "re");
    char line[256];
    if (list == NULL)
        give_up(which);
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line)
            load(line);
    }
    fclose(list);
}

static void mounted(const char *what, const char *where, const char *kind, unsigned long flags, const char *options) {
    mkdir(where, 0755);
    if (mount(what, where, kind, flags, options))
        give_up(where);
}

/* To the host by its port of this number, where a machine has no serial ports of this kind (Firecracker). */
static void open_socket(void) {
    struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = HOST_PORT};
    for (int tries = 0; tries < 500; tries++) {
        port = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (port >= 0 && connect(port, (struct sockaddr *)&host, sizeof host) == 0) {
            fcntl(port, F_SETFL, O_NONBLOCK);
            return;
        }
        shut(&port);
        usleep(10000);
    }
    give_up("the host's socket");
}

static void open_port(void) {
    for (int tries = 0; tries < 500; tries++) {
        port = open("/dev/vport0p1", O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (port >= 0)
            return;
        usleep(10000);
    }
    give_up("/dev/vport0p1");
}

/* The disk may be found a moment after its driver was loaded. */
static void mount_work(void) {
    mkdir("/work", 0755);
    for (int tries = 0; tries < 500; tries++) {
        if (mount("/dev/vda", "/work", "ext4", MS_NOSUID | MS_NODEV, "") == 0)
            break;
        if (tries == 499)
            give_up("/work");
        usleep(10000);
    }
    if (chown("/work", USER, USER) || chmod("/work", 0755) || rmdir("/work/lost+found"))
        give_up("/work");
}

/* Read-only, with the folders over it that every program has: those are there in any root that the host makes. */
static void mount_other_root(void) {
    const char *shared[] = {"/proc", "/dev", "/sys", "/tmp", "/work"};
    char path[64];
    mkdir(OTHER_ROOT, 0755);
    for (int tries = 0; tries < 500; tries++) {
        if (mount("/dev/vdb", OTHER_ROOT, "ext4", MS_RDONLY | MS_NOSUID | MS_NODEV, "") == 0)
            break;
        if (tries == 499)
            give_up(OTHER_ROOT);
        usleep(10000);
    }
    for (size_t at = 0; at < sizeof shared / sizeof *shared; at++) {
        snprintf(path, sizeof path, OTHER_ROOT "%s", shared[at]);
        if (mount(shared[at], path, NULL, MS_BIND, NULL))
            give_up(path);
    }
}

/* All programs together: what a job eats up must not silence the machine. */
static void limit_jobs(uint32_t memory_mb, uint32_t processes) {
    char bytes[32], count[32];
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)memory_mb * 1024 * 1024);
    snprintf(count, sizeof count, "%u", processes);
    mkdir("/sys/fs/cgroup/jobs", 0755);
    if (put("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids") ||
        put("/sys/fs/cgroup/jobs/cgroup.subtree_control", "+memory +pids") ||
        put("/sys/fs/cgroup/jobs/memory.max", bytes) || put("/sys/fs/cgroup/jobs/pids.max", count))
        give_up("control groups");
}

/* Machines from one state would draw the same random numbers: what the host sends goes in, and all is drawn anew. */
static void renew_randomness(const uint8_t *randomness, size_t length) {
    struct { struct rand_pool_info about; uint8_t data[64]; } entropy = {
        .about = {.entropy_count = (int)(8 * length), .buf_size = (int)length},
    };
    int file = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    memcpy(entropy.data, randomness, length);
    if (file < 0 || ioctl(file, RNDADDENTROPY, &entropy) || ioctl(file, RNDRESEEDCRNG))
        give_up("randomness");
    close(file);
    explicit_bzero(&entropy, sizeof entropy);
}

/* The second half of a start. The driver of the disk only learns now how large it is. */
static void begin(const char *payload, uint32_t length) {
    struct beginning own;
    errno = EPROTO;
    if (length != sizeof own || payload[length - 1] != '\0')
        give_up("a machine's beginning");
    memcpy(&own, payload, sizeof own);
    renew_randomness(own.randomness, sizeof own.randomness);
    explicit_bzero((char *)payload, length);
    struct timespec now = {.tv_sec = (time_t)own.seconds, .tv_nsec = own.nanoseconds};
    if (clock_settime(CLOCK_REALTIME, &now) || sethostname(own.name, strlen(own.name)))
        give_up("clock and name");
    load_modules("/modules/late");
    limit_jobs(own.memory_mb, own.processes);
    mount_work();
    if (own.other_root)
        mount_other_root();
    begun = 1;
    tell('Y', 0, "", 0);
}

int main(void) {
    umask(022);
    mounted("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    mounted("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2");
    mounted("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mounted("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mounted("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%");
    load_modules("/modules/order");
    /* The kernel gives what it does not know of its command line to us, as environment. */
    const char *way = getenv("minoots_port");
    if (way != NULL && strcmp(way, "vsock") == 0) {
        how_to_end = RB_AUTOBOOT;
        load_modules("/modules/vsock");
        open_socket();
    } else {
        open_port();
    }
    tell('H', VERSION, "", 0);
    serve();
    return 1;
}
